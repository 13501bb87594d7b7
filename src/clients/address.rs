//! Which addresses may be talked to: tokens and tickets go to whatever address is given, so plain text is for loopback only.

use std::net::IpAddr;

use reqwest::Url;

/// What is wrong with an address that is not `secure`, nor `plain` to a loopback host.
pub(super) fn check(address: &str, secure: &str, plain: &str) -> Result<Url, String> {
    let url: Url = address
        .parse()
        .map_err(|_| format!("is not an address like {secure}://host/path"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    match url.scheme() {
        scheme if scheme == secure => Ok(url),
        scheme if scheme == plain && is_loopback(&url) => Ok(url),
        scheme if scheme == plain => Err(format!(
            "is {plain}:// to another machine, which would send secrets in the clear: use {secure}://"
        )),
        _ => Err(format!("must begin with {secure}://")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::check;

    #[rstest]
    #[case::slack("https://slack.com/api", true)]
    #[case::loopback("http://127.0.0.1:4000/api", true)]
    #[case::loopback_six("http://[::1]:4000/api", true)]
    #[case::localhost("http://localhost:4000/api", true)]
    #[case::plain_elsewhere("http://slack.example/api", false)]
    #[case::loopback_as_a_user("http://127.0.0.1@slack.example/api", false)]
    #[case::loopback_as_a_label("http://127.0.0.1.slack.example/api", false)]
    #[case::localhost_as_a_label("http://localhost.slack.example/api", false)]
    #[case::other_scheme("file:///etc/passwd", false)]
    #[case::no_scheme("slack.com/api", false)]
    fn plain_http_is_for_loopback_only(#[case] address: &str, #[case] good: bool) {
        assert_eq!(check(address, "https", "http").is_ok(), good);
    }
}
