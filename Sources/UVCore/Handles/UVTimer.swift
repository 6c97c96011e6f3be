internal import CLibUV

/// A `uv_timer_t`, made once and started many times.
public final class UVTimer: UVHandle {
    /// What is called when one of them fires; many timers share one, and each holds a reference to it and no closure.
    public final class Action {
        fileprivate let call: (UVTimer) -> Void
        public init(_ call: @escaping (UVTimer) -> Void) { self.call = call }
    }

    private var action: Action?
    /// Whatever the owner wants to find again when the timer fires.
    public var context: AnyObject?

    public init(loop: UVLoop, action: Action) throws(UVError) {
        self.action = action
        try unsafe super.init(loop: loop, type: UV_TIMER, call: "uv_timer_init") { raw in
            unsafe uv_timer_init(loop.pointer, raw.assumingMemoryBound(to: uv_timer_t.self))
        }
    }

    /// For one timer alone.
    public convenience init(loop: UVLoop, onFire: @escaping (UVTimer) -> Void) throws(UVError) {
        try self.init(loop: loop, action: Action(onFire))
    }

    private var timer: UnsafeMutablePointer<uv_timer_t> {
        unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_timer_t.self)
    }

    /// Fires once, when `loop.now` has reached its present value plus `milliseconds`.
    public func start(milliseconds: UInt64) {
        if isClosing { return }
        // uv_timer_start fails only for a closing handle or a missing callback: neither is possible here.
        unsafe _ = uv_timer_start(
            timer,
            { handle in
                guard let handle = unsafe handle else { return }
                let timer = unsafe UVTimer.recover(handle)
                // Up to libuv 1.44 a pass runs due timers first and polls after: without this it would then wait for the next event,
                // with what this timer made ready lying there. It makes the poll of this pass, and of no other, return at once.
                unsafe uv_stop(timer.loop.pointer)
                timer.action?.call(timer)
            }, milliseconds, 0)
    }

    public func stop() {
        if isClosing { return }
        unsafe _ = uv_timer_stop(timer)
    }

    public override func willClose() {
        action = nil
        context = nil
    }
}

@available(*, unavailable)
extension UVTimer.Action: Sendable {}
