//! Why a push creates no project although its user may: a word for the metrics, and a sentence for the person who pushes. Addresses and
//! what Gitaly says are for the log alone.

use std::time::Duration;

use http::StatusCode;

use crate::api::error::ApiError;
use crate::net::gitaly::error::GitalyError;

/// Why a project was not created. Then no project is recorded; its repository may be there, empty, and a retry finds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreationRefusal {
    /// The directory has no storage of this name.
    #[error("there is no storage `{0}` in the directory. Please ask your administrator.")]
    NoStorage(&'static str),
    /// The storage has no address, or one that cannot be used.
    #[error("the address of the storage `{storage}` cannot be used: {reason}. Please ask your administrator.")]
    Address {
        /// The name of the storage.
        storage: String,
        /// What is wrong with its address.
        reason: String,
    },
    /// Gitaly did not answer in time.
    #[error("Gitaly did not create its repository within {} s. No project was created; please push again later.", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Gitaly answered with an error, or cannot be reached.
    #[error("{}", gitaly_sentence(.0))]
    Gitaly(GitalyError),
    /// As many projects are being created as may be.
    #[error("too many projects are being created at the moment. No project was created; please push again later.")]
    TooMany,
    /// The daemon ended, or the call failed, before there was an answer.
    #[error("the primary is stopping, or its call of Gitaly failed. No project was created; please push again.")]
    Interrupted,
    /// The directory changed while the repository was created.
    #[error("the directory was changed meanwhile. No project was created; please push again.")]
    Changed,
}

fn gitaly_sentence(error: &GitalyError) -> String {
    match error {
        GitalyError::Unreachable(_) => "Gitaly cannot be reached. No project was created; please push again later.".to_owned(),
        GitalyError::TokenRefused(_) => "Gitaly refuses the token of this primary. Please ask your administrator.".to_owned(),
        GitalyError::Unavailable(_) => "Gitaly is not available. No project was created; please push again later.".to_owned(),
        GitalyError::DeadlineExceeded(_) => {
            "Gitaly did not create its repository in time. No project was created; please push again later.".to_owned()
        }
        GitalyError::Refused { code, .. } => format!("Gitaly refused to create its repository ({code}). Please ask your administrator."),
    }
}

impl CreationRefusal {
    /// Returns its name in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoStorage(_) => "no_storage",
            Self::Address { .. } => "no_address",
            Self::TimedOut(_) | Self::Gitaly(GitalyError::DeadlineExceeded(_)) => "timed_out",
            Self::Gitaly(GitalyError::Unreachable(_)) => "unreachable",
            Self::Gitaly(GitalyError::TokenRefused(_)) => "token_refused",
            Self::Gitaly(GitalyError::Unavailable(_)) => "unavailable",
            Self::Gitaly(GitalyError::Refused { .. }) => "refused",
            Self::TooMany => "too_many",
            Self::Interrupted => "interrupted",
            Self::Changed => "changed",
        }
    }

    /// Returns what happened for the operator's log.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Gitaly(error) => error.to_string(),
            other => other.to_string(),
        }
    }

    /// Returns the answer: 422 with the sentence; the route adds `status: false`.
    #[must_use]
    pub fn to_error(&self) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("Could not create project: {self}"))
    }
}
