//! `POST internal/two_factor_manual_otp_check` and `…_push_otp_check`: as the community edition answers them. (server.md 2.10)

use std::sync::Arc;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::claimed::failed;
use crate::authority::refusal::Answered;

/// Answers that there is no such feature.
pub async fn two_factor_otp_check(_house: &Arc<Authority>, _call: Call) -> Answered {
    failed("Feature is not available")
}
