//! Why a repository could not be created, by what can be done about it.

/// Why Gitaly created no repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitalyError {
    /// No connection came about, or it broke before an answer.
    #[error("{0}")]
    Unreachable(String),
    /// Gitaly does not accept the token, or finds its time too far from its own clock.
    #[error("Gitaly refused the token: {0}")]
    TokenRefused(String),
    /// Gitaly cannot answer now.
    #[error("Gitaly answered UNAVAILABLE: {0}")]
    Unavailable(String),
    /// Gitaly gave up, because its own time was up.
    #[error("Gitaly answered DEADLINE_EXCEEDED: {0}")]
    DeadlineExceeded(String),
    /// Gitaly answered with another status.
    #[error("Gitaly answered {code}: {message}")]
    Refused {
        /// The name of the status, as `INVALID_ARGUMENT`.
        code: &'static str,
        /// What Gitaly says, for the log.
        message: String,
    },
}
