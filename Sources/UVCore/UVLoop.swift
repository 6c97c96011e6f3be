internal import CLibUV

/// A `uv_loop_t`: its memory, its life, and one pass of it. Belongs to one thread; only `UVAsync.send` may be called from others.
@safe public final class UVLoop {
    public enum RunMode: Sendable {
        /// Polls without waiting.
        case noWait
        /// Waits for at least one event or timer.
        case once
    }

    // SAFETY: allocated in init; freed in `close()` after uv_loop_close succeeded, or leaked when it did not: handles point into it.
    let pointer: UnsafeMutablePointer<uv_loop_t>
    public private(set) var isClosed = false

    public init() throws(UVError) {
        ThisProcess.fillStandardDescriptors()
        unsafe pointer = .allocate(capacity: 1)
        let result = unsafe uv_loop_init(pointer)
        guard result == 0 else {
            unsafe pointer.deallocate()
            throw UVError(code: result, call: "uv_loop_init")
        }
    }

    deinit {
        if !isClosed { _ = close() }
    }

    /// One pass: due timers, one poll, its callbacks, close callbacks.
    @inline(__always)
    public func run(_ mode: RunMode) {
        unsafe _ = uv_run(pointer, mode == .noWait ? UV_RUN_NOWAIT : UV_RUN_ONCE)
    }

    /// Milliseconds, as of the last `updateTime()` or poll.
    public var now: UInt64 { unsafe uv_now(pointer) }

    public func updateTime() { unsafe uv_update_time(pointer) }

    /// Nanoseconds on the system's monotonic clock. Callable from any thread.
    public static func hrtime() -> UInt64 { uv_hrtime() }

    /// The file descriptor that becomes readable when the loop has something to do (`uv_backend_fd`).
    public var backendDescriptor: Int32 { unsafe uv_backend_fd(pointer) }

    /// Handles that libuv knows and that are not closing, by libuv's type name: what `close()` would stumble over.
    public func openHandles() -> [String: Int] {
        final class Counts { var byType: [String: Int] = [:] }
        let counts = Counts()
        // SAFETY: the object lives through the synchronous walk.
        unsafe uv_walk(
            pointer,
            { handle, argument in
                guard let handle = unsafe handle, let argument = unsafe argument, unsafe uv_is_closing(handle) == 0 else { return }
                let counts = unsafe Unmanaged<Counts>.fromOpaque(argument).takeUnretainedValue()
                let name = unsafe String(cString: uv_handle_type_name(uv_handle_get_type(handle)))
                counts.byType[name, default: 0] += 1
            }, Unmanaged.passUnretained(counts).toOpaque())
        return counts.byType
    }

    /// Handles for which `uv_is_active` says yes.
    public var activeHandleCount: Int {
        if isClosed { return 0 }
        final class Counter { var count = 0 }
        let counter = Counter()
        // SAFETY: the object lives through the synchronous walk.
        unsafe uv_walk(
            pointer,
            { handle, argument in
                guard let handle = unsafe handle, let argument = unsafe argument, unsafe uv_is_active(handle) != 0 else { return }
                unsafe Unmanaged<Counter>.fromOpaque(argument).takeUnretainedValue().count += 1
            }, Unmanaged.passUnretained(counter).toOpaque())
        return counter.count
    }

    /// The wrappers of the handles that are open.
    public func handles() -> [UVHandle] {
        if isClosed { return [] }
        final class List { var handles: [UVHandle] = [] }
        let list = List()
        // SAFETY: the object lives through the synchronous walk; `data` is set on every handle of ours, and the loop has no others with it.
        unsafe uv_walk(
            pointer,
            { handle, argument in
                guard let handle = unsafe handle, let argument = unsafe argument else { return }
                guard unsafe uv_is_closing(handle) == 0, unsafe uv_handle_get_data(handle) != nil else { return }
                unsafe Unmanaged<List>.fromOpaque(argument).takeUnretainedValue().handles.append(UVHandle.recover(handle))
            }, Unmanaged.passUnretained(list).toOpaque())
        return list.handles
    }

    /// Closes every handle that is still open; they are gone after the next passes of `run`.
    public func closeAllHandles() {
        for handle in handles() { handle.close() }
    }

    /// Frees the loop. Returns false, and keeps everything as it was, while a handle or request is left.
    public func close() -> Bool {
        if isClosed { return true }
        guard unsafe uv_loop_close(pointer) == 0 else { return false }
        isClosed = true
        unsafe pointer.deallocate()
        return true
    }

    /// libuv's version, as linked.
    public static var version: String { unsafe String(cString: uv_version_string()) }
}

@available(*, unavailable)
extension UVLoop: Sendable {}
