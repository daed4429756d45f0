//! The kept answers as a whole: what is taken back, against a model in every order, how much they take, and traffic that is replayed.

mod fixture;
mod model;
mod replay;
mod size;
mod taking_back;
mod traffic;
