//! `allowed`: may this actor do this to this repository? The checks in their order. (server.md 3)

use crate::model::directory::{Directory, Fault};
use crate::model::question::Question;
use crate::model::time::Time;
use crate::model::verdict::Judgement;

/// Decides a question with `_any` or absent changes. Pure: the same directory, question and time give the same judgement.
pub fn decide(_directory: &dyn Directory, _question: &Question, _now: Time) -> Result<Judgement, Fault> {
    todo!()
}
