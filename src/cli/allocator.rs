//! One heap for all threads, where the C library would give each its own.
//!
//! The store's pages are allocated by whichever thread meets them and freed by another. With a heap for each thread that leaves
//! holes in all of them: over a million keys, looked up all over, it is the difference between 220 MiB and 380. What a request
//! allocates comes from the thread's own small stock either way.

/// Says so to the C library, unless the operator has said something (`MALLOC_ARENA_MAX`, `GLIBC_TUNABLES`). Before the first thread.
pub fn use_single_arena() {
    if ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "there is no safe form of this setting of the C library")]
    // SAFETY: it reads and writes the C library's own settings only, under their lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
