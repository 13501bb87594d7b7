//! Why EC2 could not be read, as sentences that say what to do next.

use std::error::Error as StdError;

use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

/// The most of an outside sentence that is repeated.
const QUOTED: usize = 300;

/// Why EC2 could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `[fleet.ec2]` contradicts itself.
    #[error("[fleet.ec2] {reason}")]
    Config {
        /// The faults, each with its key.
        reason: String,
    },
    /// Nothing in the chain gave a key.
    #[error(
        "EC2 cannot be read without AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give this machine an instance role"
    )]
    NoCredentials,
    /// Something in the chain was there, and failed.
    #[error(
        "the AWS credentials cannot be loaded: {reason}; check the AWS profile or the instance role"
    )]
    CredentialSource {
        /// The chain's own words.
        reason: String,
    },
    /// The key or the signature is wrong.
    #[error(
        "EC2 refused the AWS credentials ({code}): check the access key, its secret, and this machine's clock"
    )]
    Refused {
        /// EC2's code.
        code: String,
    },
    /// The key is good but may not do this.
    #[error(
        "EC2 does not allow this AWS user or role to read the fleet ({code}): it needs ec2:DescribeInstances and ec2:DescribeInstanceStatus"
    )]
    NotAllowed {
        /// EC2's code.
        code: String,
    },
    /// Too many requests on this account.
    #[error(
        "EC2 asks for fewer requests ({code}): it is read again at the next refresh; a longer fleet.ec2.refresh helps"
    )]
    Throttled {
        /// EC2's code.
        code: String,
    },
    /// No connection.
    #[error(
        "EC2 cannot be reached at {place}: {reason}; check the network, and region and endpoint_url of [fleet.ec2]"
    )]
    Unreachable {
        /// The address asked.
        place: String,
        /// The system's words.
        reason: String,
    },
    /// A connection, but no answer in time.
    #[error("EC2 at {place} did not answer in time; it is read again at the next refresh")]
    TimedOut {
        /// The address asked.
        place: String,
    },
    /// Anything else EC2 says.
    #[error("EC2 at {place} answered {code}: {message}")]
    Other {
        /// The address asked.
        place: String,
        /// EC2's code, or what kind of fault it is.
        code: String,
        /// EC2's words.
        message: String,
    },
}

impl Error {
    /// What the SDK's failure means for whoever reads it.
    pub(super) fn from_sdk<E>(failure: &SdkError<E, HttpResponse>, place: &str) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let place = place.to_owned();
        match failure {
            SdkError::ServiceError(service) => {
                let code = failure.code().unwrap_or("an error without a code");
                let status = service.raw().status().as_u16();
                Self::from_code(code, failure.message().unwrap_or_default(), status, place)
            }
            SdkError::TimeoutError(_) => Self::TimedOut { place },
            SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => {
                Self::TimedOut { place }
            }
            SdkError::DispatchFailure(dispatch) if dispatch.is_io() => Self::Unreachable {
                place,
                reason: innermost(failure),
            },
            _ => Self::before_or_after(failure, place),
        }
    }

    fn from_code(code: &str, message: &str, status: u16, place: String) -> Self {
        let words = code;
        let code = code.to_owned();
        match words {
            "AuthFailure"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException"
            | "MissingAuthenticationToken"
            | "IncompleteSignature"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired" => Self::Refused { code },
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
                Self::NotAllowed { code }
            }
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "RequestThrottled"
            | "TooManyRequestsException" => Self::Throttled { code },
            _ if status == 429 => Self::Throttled { code },
            _ => Self::Other {
                place,
                code,
                message: message.chars().take(QUOTED).collect(),
            },
        }
    }

    /// The SDK has no public type for a failed credential chain, so its words are read.
    fn before_or_after(failure: &(dyn StdError + 'static), place: String) -> Self {
        let words = chain(failure);
        let about_credentials = |word: &String| word.to_lowercase().contains("credential");
        // Outside EC2 the metadata service, last of the chain, may swallow the call instead of refusing it.
        let says = |what: &str| words.iter().any(|word| word.contains(what));
        if says("no credentials found in chain") || (says("IMDS") && says("timeout")) {
            Self::NoCredentials
        } else if words.iter().any(about_credentials) {
            Self::CredentialSource {
                reason: innermost(failure),
            }
        } else {
            Self::Other {
                place,
                code: "in a way that cannot be read".to_owned(),
                message: innermost(failure),
            }
        }
    }
}

fn chain(failure: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(Some(failure), |&at| at.source())
        .map(ToString::to_string)
        .collect()
}

/// The last of the chain is what the system said; those above it only say that something failed.
fn innermost(failure: &(dyn StdError + 'static)) -> String {
    let words = chain(failure).pop().unwrap_or_default();
    let one_line: Vec<&str> = words.split_whitespace().collect();
    one_line.join(" ").chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Error;

    #[rstest]
    #[case::key("AuthFailure", 401, "check the access key")]
    #[case::permissions(
        "UnauthorizedOperation",
        403,
        "it needs ec2:DescribeInstances and ec2:DescribeInstanceStatus"
    )]
    #[case::throttled("RequestLimitExceeded", 503, "fewer requests")]
    #[case::throttled_by_status("Slow", 429, "fewer requests")]
    #[case::other(
        "InternalError",
        500,
        "EC2 at https://ec2 answered InternalError: sorry"
    )]
    fn a_code_becomes_advice(#[case] code: &str, #[case] status: u16, #[case] says: &str) {
        let sentence = Error::from_code(code, "sorry", status, "https://ec2".into()).to_string();
        assert!(sentence.contains(says), "{sentence}");
        assert!(sentence.contains(code), "{sentence}");
    }
}
