//! Cores: how many there are for us, and the names under which tools show our threads.

/// How many cores this process may use: its affinity mask, and with it any container's limit that the kernel shows there.
///
/// At least 1. Source: `sched_getaffinity(2)`, through the standard library.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Names the calling thread for `top -H`, `ps` and `/proc/PID/task/*/comm`. Cut to the 15 bytes the kernel keeps.
///
/// Does nothing where the system has no such call.
pub fn name_thread(name: &str) {
    #[cfg(target_os = "linux")]
    {
        let mut bytes = [0u8; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        // SAFETY: PR_SET_NAME reads at most 16 bytes from the pointer; the array is 16 long and ends in a zero.
        unsafe {
            libc::prctl(libc::PR_SET_NAME, bytes.as_ptr());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

/// Has the calling thread give way to others that want the core: 10 steps nicer, for work that is long and can wait.
///
/// Does nothing where niceness is not a thread's own.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes no pointer; on Linux it concerns the calling thread alone. A refusal leaves things as they are.
    unsafe {
        libc::nice(10);
    }
}
