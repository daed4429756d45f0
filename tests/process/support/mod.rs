//! What the tests on real processes share: two daemons in a folder, HTTP, a primary played by the test, directories, sshd.

pub mod contract_case;
pub mod contract_directory;
pub mod env;
pub mod fake_primary;
pub mod generated_directory;
pub mod http;
pub mod sshd;
