internal import Glibc

/// Dispatch's main queue, where the main actor's jobs wait for whoever runs the main thread.
///
/// Dispatch has two calls for run loops that are not its own, made for CoreFoundation's: one gives an event descriptor that is readable while jobs wait, the other
/// runs them. They are looked up, so that a program in which they cannot be found starts all the same.
@safe public struct MainQueue {
    /// Dispatch's own, and open for the process's life.
    public let descriptor: Int32
    private let drain: @convention(c) (UnsafeMutableRawPointer?) -> Void

    /// Nil where Dispatch does not offer it: in programs that contain the whole runtime (`-static-stdlib`).
    public init?() {
        guard let handle = unsafe dlsym(nil, "_dispatch_get_main_queue_handle_4CF"),
            let callback = unsafe dlsym(nil, "_dispatch_main_queue_callback_4CF")
        else { return nil }
        // SAFETY: these are their types in Dispatch's private header for Linux, and they are part of its binary interface with CoreFoundation.
        let getDescriptor = unsafe unsafeBitCast(handle, to: (@convention(c) () -> Int32).self)
        unsafe drain = unsafeBitCast(callback, to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self)
        descriptor = getDescriptor()
        if descriptor < 0 { return nil }
    }

    /// Runs what waits there now. On the process's main thread only.
    public func runJobs() {
        var count: UInt64 = 0
        // Emptied first: what comes meanwhile fills it again. There is nothing to do about an error, and none to be expected: it does not block.
        unsafe _ = read(descriptor, &count, 8)
        drain(nil)
    }
}
