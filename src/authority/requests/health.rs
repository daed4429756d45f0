//! `GET /-/liveness` and `/-/readiness`: for who watches the process. A primary that answers has its store open.

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::refusal::Answered;
use crate::model::directory::Directory as _;
use crate::net::message::Reply;

const OK: &str = r#"{"status":"ok"}"#;

/// The process answers.
pub async fn liveness(_house: &Arc<Authority>, _call: Call) -> Answered {
    Ok(Reply::json(StatusCode::OK, OK))
}

/// The store can be read.
pub async fn readiness(house: &Arc<Authority>, _call: Call) -> Answered {
    let directory = house.store.directory();
    blocking(move || directory.settings()).await?;
    Ok(Reply::json(StatusCode::OK, OK))
}
