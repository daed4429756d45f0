//! `sidegate-authorized-keys`: sshd's `AuthorizedKeysCommand`.

fn main() -> std::process::ExitCode {
    sidegate::helper::main()
}
