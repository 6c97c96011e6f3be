internal import CLibUV

/// A `uv_async_t`: the one way to wake a loop from another thread.
public final class UVAsync: UVHandle {
    private var onWake: (() -> Void)?

    public init(loop: UVLoop, onWake: @escaping () -> Void) throws(UVError) {
        self.onWake = onWake
        try unsafe super.init(loop: loop, type: UV_ASYNC, call: "uv_async_init") { raw in
            unsafe uv_async_init(loop.pointer, raw.assumingMemoryBound(to: uv_async_t.self)) { handle in
                guard let handle = unsafe handle else { return }
                unsafe UVAsync.recover(handle).onWake?()
            }
        }
    }

    /// Callable from any thread, as long as the caller makes sure that `close()` has not been called: see `Inbox`.
    public func send() {
        // uv_async_send can fail only on a handle of another type.
        unsafe _ = uv_async_send(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_async_t.self))
    }

    public override func willClose() { onWake = nil }
}
