//! Whether a webhook was really signed by PagerDuty: HMAC-SHA256 over the raw body, any of several signatures, any of several secrets.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Signatures that are looked at in one header; PagerDuty sends one for each secret of a subscription.
const MOST: usize = 16;

/// Whether one of the `v1=` signatures is of this body and one of these secrets. Each is compared in constant time.
pub fn is_signed(secrets: &[SecretString], header: &str, body: &[u8]) -> bool {
    let signatures: Vec<Vec<u8>> = header
        .split(',')
        .take(MOST)
        .filter_map(|word| hex::decode(word.trim().strip_prefix("v1=")?).ok())
        .collect();
    let mut signed = false;
    for secret in secrets {
        // The text as PagerDuty shows it, not what it may stand for in base64.
        let secret = secret.expose_secret().trim().as_bytes();
        if secret.is_empty() {
            continue;
        }
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else {
            continue;
        };
        let mac = mac.chain_update(body);
        for signature in &signatures {
            signed |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    signed
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{SecretString, is_signed};

    /// As published: the secret, the body's exact bytes, and the signature.
    const SECRET: &str = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK";
    const BODY: &str = include_str!("published.json");
    const SIGNATURE: &str = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd";
    const ANOTHER: &str = "v1=0000000000000000000000000000000000000000000000000000000000000000";

    fn signed(secrets: &[&str], header: &str, body: &[u8]) -> bool {
        let secrets: Vec<SecretString> = secrets.iter().map(|it| (*it).into()).collect();
        is_signed(&secrets, header, body)
    }

    #[test]
    fn the_published_example_verifies() {
        assert_eq!(BODY.len(), 1655);
        assert!(signed(&[SECRET], SIGNATURE, BODY.as_bytes()));
    }

    #[rstest]
    #[case::second_of_two(&[SECRET], &format!("{ANOTHER},{SIGNATURE}"))]
    #[case::first_of_two(&[SECRET], &format!("{SIGNATURE},{ANOTHER}"))]
    #[case::with_spaces(&[SECRET], &format!("{ANOTHER}, {SIGNATURE} "))]
    #[case::an_unknown_scheme_beside_it(&[SECRET], &format!("v2=ff,{SIGNATURE}"))]
    #[case::the_new_secret(&["old", SECRET], SIGNATURE)]
    #[case::a_line_break_in_the_file(&[concat!("lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK", "\n")], SIGNATURE)]
    fn any_signature_and_any_secret_will_do(#[case] secrets: &[&str], #[case] header: &str) {
        assert!(signed(secrets, header, BODY.as_bytes()));
    }

    #[rstest]
    #[case::no_header(&[SECRET], "", BODY)]
    #[case::of_another_body(&[SECRET], ANOTHER, BODY)]
    #[case::of_a_longer_body(&[SECRET], SIGNATURE, &format!("{BODY}\n"))]
    #[case::of_no_body(&[SECRET], SIGNATURE, "")]
    #[case::another_secret(&["guessed"], SIGNATURE, BODY)]
    #[case::no_secret(&[], SIGNATURE, BODY)]
    #[case::empty_secret(&[""], SIGNATURE, BODY)]
    #[case::another_scheme(&[SECRET], &SIGNATURE.replace("v1", "v0"), BODY)]
    #[case::cut(&[SECRET], &SIGNATURE[..40], BODY)]
    #[case::not_hex(&[SECRET], "v1=nothing", BODY)]
    #[case::beyond_what_is_looked_at(&[SECRET], &format!("{}{SIGNATURE}", "v1=00,".repeat(99)), BODY)]
    fn everything_else_is_refused(
        #[case] secrets: &[&str],
        #[case] header: &str,
        #[case] body: &str,
    ) {
        assert!(!signed(secrets, header, body.as_bytes()));
    }
}
