//! The audit: facts in one chain, each record holding the hash of the one before (law 5).

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{actor::Actor, ids::OperationId};

/// A fact worth keeping for ever. Serialised, it is what a record holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The program started; the sha256 of each catalogue file it loaded.
    Loaded {
        /// Version of the program.
        version: String,
        /// File name and sha256.
        files: Vec<(String, String)>,
    },
    /// A command came in and was understood, or not.
    Received {
        /// As normalised and masked.
        text: String,
        /// The command.
        command: Option<String>,
    },
    /// It was refused.
    Refused {
        /// Why, as shown.
        why: String,
    },
    /// A card was opened.
    Asked {
        /// Who must say yes.
        confirm: String,
        /// What the world looked like.
        fingerprint: Value,
    },
    /// Somebody said yes or no, or time did.
    Decided {
        /// `approved`, `denied`, `expired`.
        decision: String,
    },
    /// It begins; written before the first byte goes out.
    Started {
        /// The command.
        command: String,
        /// The nodes.
        nodes: Vec<String>,
        /// Whether it changes something.
        changes: bool,
        /// Why, as the asker put it.
        reason: Option<String>,
    },
    /// It ended.
    Finished {
        /// The end state's word.
        state: String,
        /// The answer's title, redacted.
        title: String,
        /// sha256 of the redacted output as JSON.
        output_sha256: String,
    },
    /// It reaches a node; written before the node does.
    Touched {
        /// The node.
        node: String,
        /// What is done to it.
        what: String,
    },
    /// The process that ran it is gone.
    Interrupted {
        /// Who ran it.
        owner: String,
    },
    /// An incident was opened, linked, closed.
    Incident {
        /// Its id.
        incident: String,
        /// What happened.
        what: String,
    },
    /// Changes were frozen or allowed again.
    Freeze {
        /// `live`, or absent for everywhere.
        environment: Option<String>,
        /// Whether they are frozen now.
        frozen: bool,
        /// Why.
        why: String,
    },
    /// Other people are on call than before; PagerDuty's ids.
    OnCall {
        /// On which schedule.
        schedule: String,
        /// Since when.
        since: Timestamp,
        /// Who was before.
        from: Vec<String>,
        /// Who is now.
        to: Vec<String>,
    },
    /// A handoff was accepted, or not in time.
    Handoff {
        /// On which schedule.
        schedule: String,
        /// What happened.
        what: String,
    },
    /// A command used with `--force`.
    Forced {
        /// What it overrode.
        what: String,
        /// Why.
        reason: String,
    },
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When, UTC.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The operation it tells of.
    pub operation: Option<OperationId>,
    /// The event as JSON text, exactly as hashed.
    pub event: String,
    /// The hash of the record before; 64 zeros for the first.
    pub previous: Hash,
    /// sha256 over all of the above.
    pub hash: Hash,
}

/// A sha256 in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(pub String);

impl Hash {
    /// What the first record points back to.
    pub fn zero() -> Self {
        Self("0".repeat(64))
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        if lower.len() == 64 && lower.chars().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self(lower))
        } else {
            Err(format!("`{text}` is not a sha256: 64 hexadecimal digits"))
        }
    }
}

impl Record {
    /// The next link after `previous`.
    pub fn next(
        seq: u64,
        at: Timestamp,
        actor: Actor,
        operation: Option<OperationId>,
        event: &Event,
        previous: Hash,
    ) -> Self {
        let event = serde_json::to_string(event).expect("an event has only string keys");
        let mut record = Self {
            seq,
            at,
            actor,
            operation,
            event,
            previous,
            hash: Hash::zero(),
        };
        record.hash = record.computed();
        record
    }

    /// The hash that its content has.
    pub fn computed(&self) -> Hash {
        let mut hasher = Sha256::new();
        let actor = serde_json::to_string(&self.actor).expect("an actor has only string keys");
        let operation = self.operation.map(|id| id.to_string()).unwrap_or_default();
        // Each field is preceded by its length, so that no two records share one byte string.
        for field in [
            &self.seq.to_string(),
            &self.at.to_string(),
            &actor,
            &operation,
            &self.event,
            &self.previous.0,
        ] {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field.as_bytes());
        }
        Hash(hex::encode(hasher.finalize()))
    }
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The chain holds.
    Whole {
        /// How many records.
        records: u64,
        /// The last hash.
        head: Hash,
    },
    /// It does not, from there on.
    Broken {
        /// The first bad sequence number.
        seq: u64,
        /// What is wrong.
        why: String,
    },
}

/// Walks the chain once. `head`, when given, must be the hash of some record: it proves that nothing kept before was cut off.
pub fn verify(records: impl IntoIterator<Item = Record>, head: Option<&Hash>) -> Verified {
    let (mut count, mut last, mut head_seen) = (0_u64, Hash::zero(), head.is_none());
    for record in records {
        let expected = count + 1;
        let why = if record.seq != expected {
            Some(format!(
                "record {expected} is missing; the next one is {}",
                record.seq
            ))
        } else if record.previous != last {
            Some("it does not follow the record before it".to_owned())
        } else if record.hash != record.computed() {
            Some("its content was changed".to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            return Verified::Broken { seq: expected, why };
        }
        count = expected;
        last = record.hash;
        head_seen = head_seen || head == Some(&last);
    }
    if head_seen {
        Verified::Whole {
            records: count,
            head: last,
        }
    } else {
        Verified::Broken {
            seq: count + 1,
            why: "the chain ends before the head you gave: records at its end are missing"
                .to_owned(),
        }
    }
}
