//! A disk of a few MiB that a test fills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system at a folder; gone when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many KiB; `None`, and a line that says so, where that may not be done.
    pub fn mount(folder: &Path, kib: u64) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={kib}k,mode=0700"), "tmpfs"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("SKIPPED: a full disk (no file system can be mounted here)");
        None
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let _stops_at_the_end_of_the_disk = fs::write(self.0.join("filler"), vec![1; 64 << 20]);
    }

    /// Makes room again.
    pub fn free_space(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
