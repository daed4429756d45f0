//! What a push leaves behind besides its commits: the projects it creates, the messages its author sees, the count of running pushes.

pub mod create_project;
pub mod messages;
pub mod reference_counter;
