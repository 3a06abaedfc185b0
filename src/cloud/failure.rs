//! Why the cloud service did not help, and what that means for the next attempt.

use std::time::Duration;

use cic_kiosk::report::schema::ErrorCode;
use thiserror::Error;

use super::strict::Lie;

/// Why there is nothing to merge. No text holds an address or anything of a document or an answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// The switch forbids it.
    #[error("the switch forbids that anything is sent")]
    Forbidden,
    /// Too much has failed lately.
    #[error("nothing is sent for a while, because the service has failed lately")]
    BreakerOpen,
    /// Today's transfers are used up.
    #[error("the day's budget is used up; raise cloud.daily_budget if it is too small")]
    OutOfBudget,
    /// A transfer that is not recorded is not made.
    #[error("the transfer cannot be recorded, so that nothing was sent: {0}")]
    NotRecorded(String),
    /// The pages to be sent are not to be had.
    #[error("the pages to be sent cannot be made: {0}")]
    NoPages(String),
    /// Nothing came in the time for everything.
    #[error("it took longer than cloud.total_seconds")]
    OutOfTime,
    /// Nothing came in the time for one attempt.
    #[error("the service did not answer in time")]
    TimedOut,
    /// No connection.
    #[error("the service cannot be reached; check the network and cloud.address")]
    Unreachable,
    /// The server's certificate is none of the pinned authorities'.
    #[error("no secure connection is possible; cloud.authorities must have signed its certificate")]
    Tls,
    /// The connection was cut, or no HTTP came.
    #[error("the service's answer is broken or incomplete")]
    Broken,
    /// The answer is larger than is allowed.
    #[error("the service's answer is larger than cloud.max_answer_bytes")]
    TooLarge,
    /// The answer is not the contract's.
    #[error("the service's answer is not what the contract says: {}", .0.0)]
    Lied(Lie),
    /// A status that says nothing of the contract, such as a redirect.
    #[error("the service answered with status {0}; check cloud.address")]
    Status(u16),
    /// It cannot read the document: code 1, 2 or 3.
    #[error("the service cannot read the document, code {}", .0.digit())]
    Refused(ErrorCode),
    /// Code 4.
    #[error("the service does not accept the credentials cloud-key and cloud-secret; replace them")]
    WrongKey,
    /// Code 5.
    #[error("the service's quota for cloud-key is used up")]
    OutOfRequests(Option<Duration>),
    /// Code 6 or an HTTP status of 500 and above.
    #[error("the service failed")]
    Failed,
    /// The answer is about other papers, or empty.
    #[error("the service's answer is about another document")]
    OtherDocument,
}

impl Failure {
    /// A short name, for metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::BreakerOpen => "breaker_open",
            Self::OutOfBudget => "out_of_budget",
            Self::NotRecorded(_) => "not_recorded",
            Self::NoPages(_) => "no_pages",
            Self::OutOfTime => "out_of_time",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Lied(_) => "lied",
            Self::Status(_) => "status",
            Self::Refused(_) => "refused",
            Self::WrongKey => "wrong_key",
            Self::OutOfRequests(_) => "out_of_requests",
            Self::Failed => "failed",
            Self::OtherDocument => "other_document",
        }
    }

    /// For the record of transfers: the service's code where it gave one that was believed.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(code) => code.digit(),
            other => other.kind(),
        }
    }

    /// Whether the next attempt may well succeed.
    pub const fn may_pass(&self) -> bool {
        self.is_the_services() && !matches!(self, Self::Tls | Self::TooLarge | Self::Status(_))
    }

    /// Whether the service is not well, which the breaker counts.
    pub const fn is_the_services(&self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::Unreachable
                | Self::Tls
                | Self::Broken
                | Self::TooLarge
                | Self::Lied(_)
                | Self::Status(_)
                | Self::Failed
        )
    }
}
