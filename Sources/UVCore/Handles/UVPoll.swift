internal import CLibUV

/// A `uv_poll_t`: tells when a descriptor that libuv does not own is readable or writable.
public final class UVPoll: UVHandle {
    public struct Events: OptionSet, Sendable {
        public let rawValue: Int32
        public init(rawValue: Int32) { self.rawValue = rawValue }
        public static let readable = Events(rawValue: 1)
        public static let writable = Events(rawValue: 2)
        public static let disconnect = Events(rawValue: 4)
    }

    private var onEvent: ((Result<Events, UVError>) -> Void)?

    /// libuv makes the descriptor non-blocking; whoever owns it closes it after this handle is closed.
    public init(loop: UVLoop, descriptor: Int32, onEvent: @escaping (Result<Events, UVError>) -> Void) throws(UVError) {
        self.onEvent = onEvent
        try unsafe super.init(loop: loop, type: UV_POLL, call: "uv_poll_init") { raw in
            unsafe uv_poll_init(loop.pointer, raw.assumingMemoryBound(to: uv_poll_t.self), descriptor)
        }
    }

    /// Takes over the descriptor: it is closed as soon as `close()` is called, and no later than that is anything of it known to libuv.
    public convenience init(
        loop: UVLoop, owning descriptor: consuming Descriptor, onEvent: @escaping (Result<Events, UVError>) -> Void
    ) throws(UVError) {
        try self.init(loop: loop, descriptor: descriptor.number, onEvent: onEvent)
        owned = consume descriptor
    }

    /// Watches a descriptor of somebody else's, by a number of its own: what becomes of the other one, closed or used for another file, does not matter to libuv, which
    /// would abort. The descriptor stays as it is.
    public convenience init(
        loop: UVLoop, duplicating number: Int32, onEvent: @escaping (Result<Events, UVError>) -> Void
    ) throws(UVError) {
        let copy = try Descriptor.duplicate(of: number)
        let isBlocking = try Descriptor.isBlocking(number)
        try self.init(loop: loop, descriptor: copy.number, onEvent: onEvent)
        if isBlocking {
            do throws(UVError) {
                // libuv has changed it, for all who use that open file.
                try Descriptor.makeBlocking(copy.number)
            } catch {
                close()
                throw error
            }
        }
        owned = consume copy
    }

    private var owned: Descriptor?

    /// Called once, when closing begins, whoever asked for it, with the descriptor still open.
    public var beforeClose: (() -> Void)?

    /// The descriptor that it owns; -1 if it owns none, or none any more.
    public var descriptor: Int32 { owned?.number ?? -1 }

    /// Stops, and gives the descriptor that it owns to the caller: libuv knows nothing of it any more. What is left to do is `close()`.
    public func takeDescriptor() -> Descriptor? {
        stop()
        return owned.take()
    }

    private var poll: UnsafeMutablePointer<uv_poll_t> {
        unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_poll_t.self)
    }

    public func start(_ events: Events) throws(UVError) {
        if isClosing { return }
        try UVError.check(
            unsafe uv_poll_start(poll, events.rawValue) { handle, status, events in
                guard let handle = unsafe handle else { return }
                let poll = unsafe UVPoll.recover(handle)
                poll.onEvent?(status < 0 ? .failure(UVError(code: status, call: "uv_poll")) : .success(Events(rawValue: events)))
            }, "uv_poll_start")
    }

    public func stop() {
        if isClosing { return }
        unsafe _ = uv_poll_stop(poll)
    }

    public override func willClose() {
        onEvent = nil
        beforeClose.take()?()
        // Stopped first: epoll forgets the descriptor before its number can come again. uv_close finds it stopped.
        unsafe _ = uv_poll_stop(poll)
        owned = nil
    }
}
