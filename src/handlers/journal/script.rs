//! The two fixed scripts that run on a node (law 8). A person's values are their words, never part of them.

use crate::domain::pattern::Pattern;

/// How a script searches, as its first four words: `all`, `own` (by `journalctl --grep`) or `piped` (by `grep`); what for, in either's
/// language; and whether case matters.
pub(super) fn search(pattern: Option<&Pattern>) -> Vec<String> {
    let Some(pattern) = pattern else {
        return ["all", "", "", "-a"].map(str::to_owned).to_vec();
    };
    let own = pattern.for_journalctl();
    vec![
        if own.is_some() { "own" } else { "piped" }.to_owned(),
        own.unwrap_or_default().to_owned(),
        pattern.for_grep(),
        if pattern.ignores_case() { "-i" } else { "-a" }.to_owned(),
    ]
}

/// The words of [`FOLLOW`].
pub fn follow_words(unit: &str, pattern: Option<&Pattern>) -> Vec<String> {
    let mut words = search(pattern);
    words.push(format!("--unit={unit}"));
    words
}

/// Reads entries and ends. Words: how, for journalctl, for grep, case, most lines, most bytes, then options of journalctl's.
/// `--grep` and `--output-fields` came with systemd 237 and 236: either both are there, or neither is used.
pub const READ: &str = r#"LC_ALL=C TZ=UTC; export LC_ALL TZ
how=$1 own=$2 piped=$3 case=$4 lines=$5 bytes=$6; shift 6
printf '@clock %s\n' "$(date -u +%s.%N)"
fields=--output-fields=MESSAGE,_PID,SYSLOG_IDENTIFIER
if ! journalctl --grep=x "$fields" --version >/dev/null 2>&1; then
  fields=--all
  [ "$how" != own ] || how=piped
fi
[ "$how" != own ] || set -- "--grep=$own" "$@"
entries() { journalctl --quiet --no-pager --all --output=json "$fields" "$@"; printf '@end %s\n' "$?" >&2; }
found() {
  if [ "$how" != piped ]; then cat; return; fi
  grep "$case" -a -E -e "$piped"; said=$?
  [ "$said" -le 1 ] || printf '@grep %s\n' "$said" >&2
}
entries "$@" | found | head -n "$lines" | head -c "$bytes"
"#;

/// Follows the journal until its input ends: that is when nobody reads any more, also where sshd passes no signal on. Nothing outlives
/// it: all of it is one process group, `timeout`'s. Words: how, for journalctl, for grep, case, then options of journalctl's.
pub const FOLLOW: &str = r#"LC_ALL=C TZ=UTC; export LC_ALL TZ
how=$1 own=$2 piped=$3 case=$4; shift 4
printf '@clock %s\n' "$(date -u +%s.%N)"
fields=--output-fields=MESSAGE,_PID,SYSLOG_IDENTIFIER
if ! journalctl --grep=x "$fields" --version >/dev/null 2>&1; then
  fields=--all
  [ "$how" != own ] || how=piped
fi
[ "$how" != own ] || set -- "--grep=$own" "$@"
entries() { journalctl --quiet --no-pager --all --output=json "$fields" --follow --lines=0 "$@"; printf '@end %s\n' "$?" >&2; }
found() {
  if [ "$how" != piped ]; then cat; return; fi
  grep "$case" --line-buffered -a -E -e "$piped"; said=$?
  [ "$said" -le 1 ] || printf '@grep %s\n' "$said" >&2
}
{ entries "$@" | found; kill -TERM 0; } &
cat >/dev/null
kill -TERM 0
"#;
