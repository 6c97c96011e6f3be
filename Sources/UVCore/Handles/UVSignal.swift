internal import CLibUV
internal import Glibc

/// A `uv_signal_t`, for SIGWINCH: any number of them on any number of loops get it. For signals that must not be lost see `SignalWatch`.
public final class UVSignal: UVHandle {
    private var onSignal: (() -> Void)?

    /// Told that a terminal has another size.
    public static func windowSize(loop: UVLoop, onSignal: @escaping () -> Void) throws(UVError) -> UVSignal {
        let signal = try UVSignal(loop: loop, onSignal: onSignal)
        do throws(UVError) {
            try signal.start(SIGWINCH)
        } catch {
            signal.close()
            throw error
        }
        return signal
    }

    private init(loop: UVLoop, onSignal: @escaping () -> Void) throws(UVError) {
        self.onSignal = onSignal
        try unsafe super.init(loop: loop, type: UV_SIGNAL, call: "uv_signal_init") { raw in
            unsafe uv_signal_init(loop.pointer, raw.assumingMemoryBound(to: uv_signal_t.self))
        }
    }

    private func start(_ signal: Int32) throws(UVError) {
        try UVError.check(
            unsafe uv_signal_start(
                UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_signal_t.self),
                { handle, _ in
                    guard let handle = unsafe handle else { return }
                    unsafe UVSignal.recover(handle).onSignal?()
                }, signal), "uv_signal_start")
    }

    public override func willClose() { onSignal = nil }
}
