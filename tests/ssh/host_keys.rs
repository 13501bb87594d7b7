//! Host keys: which are let in, which are refused and in which words, and what trusting one writes.

use std::fs;

use habops::clients::ssh::Error;
use rstest::rstest;

use super::filled;
use crate::farm::{Farm, Layout};

#[rstest]
#[case::name("node-0 <host>")]
#[case::instance_id("i-00000000000000000 <host>")]
#[case::address_and_port("[127.0.1.1]:<port>\t<host>\twith a comment")]
#[case::wildcard("# the farm\n\nnode-*  <host>")]
#[case::among_others("node-0 <other>\nnode-0 <host>")]
#[case::the_key_that_sshd_would_not_show_first("node-0 <ecdsa>")]
#[case::authority_for_others("@cert-authority elsewhere <other>\nnode-0 <host>")]
#[tokio::test]
async fn a_known_host_is_let_in(#[case] file: &str) {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, file));
    farm.client().login(farm.host()).await.unwrap();
}

#[tokio::test]
async fn a_hashed_host_is_known() {
    let farm = Farm::of(1);
    let hashed = std::process::Command::new("ssh-keygen")
        .arg("-H")
        .arg("-f")
        .arg(farm.file("known_hosts"))
        .output()
        .unwrap();
    assert!(hashed.status.success());
    assert!(
        fs::read_to_string(farm.file("known_hosts"))
            .unwrap()
            .starts_with("|1|")
    );
    farm.client().login(farm.host()).await.unwrap();
}

#[rstest]
#[case::empty("")]
#[case::another("node-1 <host>")]
#[case::negated("node-*,!node-0 <host>")]
#[case::address_without_the_port("127.0.1.1 <host>")]
#[tokio::test]
async fn an_unknown_host_is_refused_with_its_fingerprint(#[case] file: &str) {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, file));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    let Error::HostKeyUnknown { offered, .. } = &fault else {
        panic!("{fault}")
    };
    assert_eq!(offered.openssh(), farm.host_key());
    assert!(
        fault.to_string().ends_with("run `habops trust node-0`"),
        "{fault}"
    );
    assert_eq!(farm.logins(), 0);
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_both_fingerprints() {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, "node-0 <other>"));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    let Error::HostKeyChanged { known, offered, .. } = &fault else {
        panic!("{fault}")
    };
    assert_eq!(known[0].openssh(), farm.public("other"));
    assert_eq!(offered.openssh(), farm.host_key());
}

#[rstest]
#[case::beside_the_key("node-0 <host>\n@revoked node-0 <host>")]
#[case::for_all("@revoked * <host>\nnode-0 <host>")]
#[tokio::test]
async fn a_revoked_host_key_is_refused(#[case] file: &str) {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, file));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    assert!(matches!(fault, Error::HostKeyRevoked { .. }), "{fault}");
}

#[tokio::test]
async fn a_missing_known_hosts_lets_nobody_in() {
    let farm = Farm::of(1);
    fs::remove_file(farm.file("known_hosts")).unwrap();
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    assert_eq!(
        fault,
        Error::NoKnownHosts {
            path: farm.file("known_hosts")
        }
    );
}

#[rstest]
#[case::expired(&["-h", "-n", "node-0", "-V", "-2d:-1d"], "it is not valid at this time")]
#[case::not_yet(&["-h", "-n", "node-0", "-V", "+1d:+2d"], "it is not valid at this time")]
#[case::of_a_person(&["-n", "node-0"], "it was issued for a user, not for a host")]
#[case::with_a_condition(
    &["-h", "-n", "node-0", "-O", "critical:only-on@example.com=sundays"],
    "its critical option only-on@example.com is not known here"
)]
#[tokio::test]
async fn a_host_certificate_that_is_not_good_now_is_refused(
    #[case] signed_with: &[&str],
    #[case] says: &str,
) {
    let farm = Farm::laid_out(&Layout {
        host_certificate_for: Some("node-0"),
        signed_with,
        ..Layout::default()
    });
    farm.know(&filled(&farm, "@cert-authority node-* <ca>"));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    assert!(fault.to_string().contains(says), "{fault}");
    assert_eq!(farm.logins(), 0);
}

#[rstest]
#[case::right("node-0", "@cert-authority node-* <ca>", "")]
#[case::right_of_several("elsewhere,node-0", "@cert-authority * <ca>", "")]
#[case::wrong_principal(
    "node-1",
    "@cert-authority node-* <ca>",
    "it was issued for node-1, not for"
)]
#[case::wrong_principal_though_the_key_is_known(
    "node-1",
    "@cert-authority * <ca>\nnode-0 <host>",
    "it was issued for node-1"
)]
#[case::authority_of_others("node-0", "@cert-authority other-* <ca>", "no host key is known")]
#[case::another_authority("node-0", "@cert-authority * <other>", "no host key is known")]
#[case::another_authority_but_known("node-0", "@cert-authority * <other>\nnode-0 <host>", "")]
#[case::revoked_authority("node-0", "@cert-authority * <ca>\n@revoked * <ca>", "marks @revoked")]
#[case::revoked_key(
    "node-0",
    "@cert-authority * <ca>\n@revoked * <host>",
    "marks @revoked"
)]
#[tokio::test]
async fn a_host_certificate_counts_for_its_principal(
    #[case] issued_for: &str,
    #[case] file: &str,
    #[case] says: &str,
) {
    let farm = Farm::laid_out(&Layout {
        host_certificate_for: Some(issued_for),
        ..Layout::default()
    });
    farm.know(&filled(&farm, file));
    match farm.client().login(farm.host()).await {
        Ok(()) => assert_eq!(says, ""),
        Err(fault) => assert!(
            !says.is_empty() && fault.to_string().contains(says),
            "{fault}"
        ),
    }
}

#[tokio::test]
async fn trust_pins_what_scan_saw_and_keeps_the_rest() {
    let farm = Farm::of(1);
    farm.know(&filled(
        &farm,
        "# ours\nnode-0,node-9 <other>\nelsewhere <host>",
    ));
    let client = farm.client();
    assert!(client.login(farm.host()).await.unwrap_err().is_host_key());
    assert_eq!(
        client.known(farm.host()).unwrap()[0].openssh(),
        farm.public("other")
    );

    let seen = client.scan(farm.host()).await.unwrap();
    assert_eq!(
        (seen.openssh(), farm.logins()),
        (farm.host_key().as_str(), 0)
    );
    client.trust(farm.host(), &seen).unwrap();

    client.login(farm.host()).await.unwrap();
    let port = farm.host().port;
    let expected = format!(
        "# ours\nnode-9 <other>\nelsewhere <host>\ni-00000000000000000,node-0,[127.0.1.1]:{port} <host>\n"
    );
    assert_eq!(
        fs::read_to_string(farm.file("known_hosts")).unwrap(),
        filled(&farm, &expected)
    );
}

#[tokio::test]
async fn trust_makes_the_file_and_refuses_a_revoked_key() {
    let farm = Farm::of(1);
    fs::remove_file(farm.file("known_hosts")).unwrap();
    let client = farm.client();
    let seen = client.scan(farm.host()).await.unwrap();
    client.trust(farm.host(), &seen).unwrap();
    client.login(farm.host()).await.unwrap();

    farm.know(&filled(&farm, "@revoked * <host>\n"));
    assert!(matches!(
        client.trust(farm.host(), &seen),
        Err(Error::HostKeyRevoked { .. })
    ));
}
