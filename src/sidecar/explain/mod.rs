//! Explaining one answer of this host: what sshd and gitlab-shell are told at this moment, by whom, and why.
//!
//! [`question`] is what an operator asks; [`evidence`] gathers what the directory, the kept answers and the primary say to it, and changes
//! nothing here; [`judgement`] says which of them decides, as the endpoints do; [`steps`] puts the steps together, [`facts`] what
//! they rest on, and [`sentences`] their words.

pub mod evidence;
pub mod facts;
pub mod judgement;
pub mod question;
pub mod sentences;
pub mod steps;
