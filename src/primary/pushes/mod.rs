//! What a push leaves behind besides its commits: the projects and repositories it creates, the messages its author sees, the count of running pushes.

pub mod create_project;
mod creation_refusal;
mod creations_under_way;
pub mod messages;
pub mod reference_counter;
pub mod repositories;
