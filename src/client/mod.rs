//! Who sshd starts.
