//! The fleet page: what an operator sees of all hosts at once, as a page that any browser shows.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`page`] | the page as HTML |
//! | [`overview`] | what it shows, read at one moment |
//! | [`revocations_in_flight`] | what shuts somebody out and is not in force on every host yet |

pub mod overview;
pub mod page;
pub mod revocations_in_flight;
