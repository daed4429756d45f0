//! `sidegate`: the daemons and the operator's commands.

fn main() -> std::process::ExitCode {
    sidegate::cli::run()
}
