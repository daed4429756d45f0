//! `sidegate-authorized-keys`: sshd's `AuthorizedKeysCommand`.

fn main() {}
