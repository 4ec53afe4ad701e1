//! Memory that the allocator holds free.

/// Has the allocator give back to the kernel what the calling thread has freed.
///
/// It would do so by itself at one of the next allocations, but a worker whose connections all wait makes none. Costs up to a few
/// milliseconds for a heap of some ten megabytes. Does nothing for a program with another allocator.
pub fn give_memory_back() {
    // SAFETY: the call takes no pointers; it works on the calling thread's own heap and on nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
