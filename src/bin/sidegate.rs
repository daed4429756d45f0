//! `sidegate`: the daemons and the operator's commands.

fn main() {}
