//! What a mirror and its hosts cost a GitLab, and what a mirror takes itself: under a flood of unknown keys, with 1, 10 and 200 hosts, and for a
//! large directory. What is counted holds in every run; times are printed by `tests/mirror_load`, and nothing judges them.

mod flood;
mod hosts;
mod light_host;
mod memory;
