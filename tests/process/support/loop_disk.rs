//! A disk of a test's own, in a file: one that stops answering, or that the kernel closes to writes after an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An ext4 file system at a folder; gone when dropped.
pub struct LoopDisk {
    folder: PathBuf,
    image: PathBuf,
}

impl LoopDisk {
    /// Makes one of so many MiB in the file `image`; `None`, and a line that says so, where that may not be done.
    pub fn mount(image: &Path, folder: &Path, mib: u64) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
        let made = run("mkfs.ext4", &["-q"], image);
        let disk = Self { folder: folder.to_owned(), image: image.to_owned() };
        if made && disk.mount_again() {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(folder, private).unwrap();
            return Some(disk);
        }
        eprintln!("SKIPPED: a disk that hangs or takes no writes (no file system can be made and mounted here)");
        None
    }

    /// Mounts it, after it was unmounted.
    pub fn mount_again(&self) -> bool {
        let image = self.image.to_str().unwrap();
        run("mount", &["-o", "loop,errors=remount-ro", image], &self.folder)
    }

    /// Unmounts it and has its errors corrected, as an operator does.
    pub fn unmount_and_check(&self) {
        assert!(run("umount", &[], &self.folder));
        let _corrected = run("fsck.ext4", &["-fy"], &self.image);
    }

    /// Lets every write to it wait. What has begun then ends with [`LoopDisk::thaw`], and not before, whatever becomes of its process.
    pub fn freeze(&self) {
        assert!(run("fsfreeze", &["-f"], &self.folder));
    }

    /// Lets writes go on.
    pub fn thaw(&self) {
        assert!(run("fsfreeze", &["-u"], &self.folder));
    }

    /// Lets the kernel find an error, after which it takes no more writes; `false` where that cannot be done.
    pub fn break_down(&self) -> bool {
        let output = Command::new("findmnt").args(["-no", "SOURCE"]).arg(&self.folder).output().unwrap();
        let device = String::from_utf8(output.stdout).unwrap();
        let name = device.trim().rsplit('/').next().unwrap();
        let broken = fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "an error of a test").is_ok();
        if !broken {
            eprintln!("SKIPPED: a disk with an error (the kernel cannot be told to find one)");
        }
        broken
    }
}

/// Closes a folder to writes, for whoever opens a file in it from now on. Gone when dropped.
pub struct ReadOnlyMount(PathBuf);

impl ReadOnlyMount {
    /// Mounts the folder on itself, read-only.
    pub fn over(folder: &Path) -> Self {
        assert!(run("mount", &["--bind", folder.to_str().unwrap()], folder));
        let closed = Self(folder.to_owned());
        assert!(run("mount", &["-o", "remount,ro,bind"], folder));
        closed
    }
}

impl Drop for ReadOnlyMount {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.0);
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A write that waits keeps its process from ending.
        run("fsfreeze", &["-u"], &self.folder);
        run("umount", &["-l"], &self.folder);
    }
}

fn run(program: &str, words: &[&str], path: &Path) -> bool {
    Command::new(program).args(words).arg(path).output().is_ok_and(|output| output.status.success())
}
