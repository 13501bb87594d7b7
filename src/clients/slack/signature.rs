//! Whether an HTTP request was really signed by Slack (<https://docs.slack.dev/authentication/verifying-requests-from-slack>).

use secrecy::{ExposeSecret as _, SecretString};
use slack_morphism::{
    SlackSigningSecret,
    signature_verifier::{SlackEventSignatureVerifier, SlackEventSignatureVerifierError},
};

/// Seconds since 1970 have ten digits until 2286.
const LONGEST_TIMESTAMP: usize = 12;

/// Why a request is not taken for Slack's: answer 401 and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// A header is missing.
    #[error("the request carries no signature")]
    Unsigned,
    /// The signature is not of this body, this time and our secret.
    #[error("the signature does not match: check slack.signing_secret")]
    Wrong,
    /// Rightly signed, but not within five minutes of now.
    #[error("the signature is not of these five minutes: check this machine's clock")]
    Stale,
    /// We have no secret to compare with.
    #[error("there is no signing secret")]
    NoSecret,
}

/// Compares in constant time, over the body exactly as received; the clock may differ by five minutes either way.
pub fn verify_signature(
    secret: &SecretString,
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
) -> Result<(), Forged> {
    let (Some(timestamp), Some(signature)) = (timestamp, signature) else {
        return Err(Forged::Unsigned);
    };
    // Checked before the library, whose arithmetic on it may overflow.
    if timestamp.len() > LONGEST_TIMESTAMP || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Forged::Wrong);
    }
    let body = std::str::from_utf8(body).map_err(|_| Forged::Wrong)?;
    let secret = SlackSigningSecret(secret.expose_secret().trim().to_owned());
    SlackEventSignatureVerifier::new(&secret)
        .verify(signature, body, timestamp)
        .map_err(|error| match error {
            SlackEventSignatureVerifierError::IncorrectOrExpiredTimestampError(_) => Forged::Stale,
            SlackEventSignatureVerifierError::CryptoInitError(_) => Forged::NoSecret,
            _ => Forged::Wrong,
        })
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use jiff::Timestamp;
    use rstest::rstest;
    use sha2::Sha256;

    use super::{Forged, verify_signature};

    // Slack's own example, from the page named above.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIMESTAMP: &str = "1531420618";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn sign(timestamp: &str, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("v0:{timestamp}:{body}").as_bytes());
        format!("v0={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn seconds_from_now(seconds: i64) -> String {
        (Timestamp::now().as_second() + seconds).to_string()
    }

    #[test]
    fn the_official_example_is_rightly_signed_and_long_past() {
        assert_eq!(sign(TIMESTAMP, BODY), SIGNATURE);
        let verdict = verify_signature(
            &SECRET.into(),
            Some(TIMESTAMP),
            Some(SIGNATURE),
            BODY.as_bytes(),
        );
        assert_eq!(verdict, Err(Forged::Stale));
    }

    #[test]
    fn the_official_example_with_another_body_is_wrong() {
        let body = format!("{BODY}------");
        let verdict = verify_signature(
            &SECRET.into(),
            Some(TIMESTAMP),
            Some(SIGNATURE),
            body.as_bytes(),
        );
        assert_eq!(verdict, Err(Forged::Wrong));
    }

    #[rstest]
    #[case::now(0, Ok(()))]
    #[case::a_slow_clock(-290, Ok(()))]
    #[case::a_fast_clock(290, Ok(()))]
    #[case::too_old(-310, Err(Forged::Stale))]
    #[case::too_new(310, Err(Forged::Stale))]
    fn five_minutes_either_way_are_taken(
        #[case] seconds: i64,
        #[case] verdict: Result<(), Forged>,
    ) {
        let timestamp = seconds_from_now(seconds);
        let signature = sign(&timestamp, BODY);
        assert_eq!(
            verify_signature(
                &SECRET.into(),
                Some(&timestamp),
                Some(&signature),
                BODY.as_bytes()
            ),
            verdict
        );
    }

    #[test]
    fn what_is_missing_or_malformed_is_refused() {
        let now = seconds_from_now(0);
        let good = sign(&now, BODY);
        let try_with =
            |secret: &str, timestamp: Option<&str>, signature: Option<&str>, body: &[u8]| {
                verify_signature(&secret.into(), timestamp, signature, body)
            };
        assert_eq!(
            try_with(SECRET, None, Some(&good), BODY.as_bytes()),
            Err(Forged::Unsigned)
        );
        assert_eq!(
            try_with(SECRET, Some(&now), None, BODY.as_bytes()),
            Err(Forged::Unsigned)
        );
        assert_eq!(
            try_with(SECRET, Some(&now), Some(""), BODY.as_bytes()),
            Err(Forged::Wrong)
        );
        assert_eq!(
            try_with("", Some(&now), Some(&good), BODY.as_bytes()),
            Err(Forged::NoSecret)
        );
        assert_eq!(
            try_with(
                SECRET,
                Some("-9223372036854775808"),
                Some(&good),
                BODY.as_bytes()
            ),
            Err(Forged::Wrong)
        );
        assert_eq!(
            try_with(SECRET, Some(&now), Some(&good), b"\xff"),
            Err(Forged::Wrong)
        );
    }
}
