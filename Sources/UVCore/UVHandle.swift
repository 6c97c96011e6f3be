internal import CLibUV

/// The life of a libuv handle, written once. Subclasses initialise the handle and add its verbs.
///
/// The handle's memory is its own block of `uv_handle_size`, never inside a Swift object. From a successful init on the wrapper
/// retains itself through the handle's `data`, until libuv calls back that the handle is closed; that callback frees the memory,
/// drops what the subclass stored, tells who waits, and balances the retain. `close()` may be called any number of times.
@safe open class UVHandle {
    // SAFETY: allocated in init, freed in `finishClosing` (or in init when uv_…_init failed); libuv keeps this pointer in between.
    final let pointer: UnsafeMutablePointer<uv_handle_t>
    public final let loop: UVLoop
    // Private, with a getter: what other modules could change is checked for exclusive access at run time.
    private final var onClosed: OnClosed?
    private final var closing = false
    private final var closed = false
    public final var isClosing: Bool { closing }
    public final var isClosed: Bool { closed }

    /// A closure in an object of its own: half the size in every handle, and few are ever told of their end.
    private final class OnClosed {
        let call: () -> Void
        init(_ call: @escaping () -> Void) { self.call = call }
    }

    /// - Parameter initialise: calls `uv_…_init`, and gives back its result. On an error nothing is left.
    init(loop: UVLoop, type: uv_handle_type, call: String, initialise: (UnsafeMutableRawPointer) -> Int32) throws(UVError) {
        self.loop = loop
        let raw = UnsafeMutableRawPointer.allocate(byteCount: uv_handle_size(type), alignment: 16)
        unsafe pointer = raw.assumingMemoryBound(to: uv_handle_t.self)
        let result = unsafe initialise(raw)
        guard result == 0 else {
            unsafe raw.deallocate()
            throw UVError(code: result, call: call)
        }
        // Alive until the close callback: libuv keeps the pointer from init to there, so the retain taken here
        // is balanced in `finishClosing` and nowhere else. Freeing in deinit would be too early.
        unsafe pointer.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    }

    /// True if libuv would call back for it.
    public final var isActive: Bool {
        if isClosed { return false }
        return unsafe uv_is_active(pointer) != 0
    }

    /// Whether the handle keeps `uv_run` going.
    public final func setReferenced(_ referenced: Bool) {
        if isClosed { return }
        if referenced { unsafe uv_ref(pointer) } else { unsafe uv_unref(pointer) }
    }

    /// Begins closing; `then` is called on the loop's next pass, when libuv has let go. Later calls do nothing but replace `then`, if given.
    public final func close(then: (() -> Void)? = nil) {
        if isClosed {
            then?()
            return
        }
        if let then { onClosed = OnClosed(then) }
        if isClosing { return }
        closing = true
        willClose()
        unsafe uv_close(pointer) { handle in
            guard let handle = unsafe handle else { return }
            unsafe UVHandle.recover(handle).finishClosing()
        }
    }

    /// For subclasses: drop stored closures here. Called once, when closing begins.
    open func willClose() {}

    private func finishClosing() {
        closed = true
        let retained = unsafe Unmanaged<UVHandle>.fromOpaque(pointer.pointee.data)
        unsafe UnsafeMutableRawPointer(pointer).deallocate()
        let then = onClosed
        onClosed = nil
        then?.call()
        unsafe retained.release()
    }

    /// The wrapper behind a handle that libuv passed to a callback.
    @inline(__always)
    static func recover<Handle>(_ handle: UnsafeMutablePointer<Handle>) -> Self {
        // SAFETY: `data` is set in init, and every handle of ours is closed before its wrapper goes.
        let base = unsafe UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
        return unsafe unsafeDowncast(Unmanaged<UVHandle>.fromOpaque(base.pointee.data).takeUnretainedValue(), to: Self.self)
    }
}

@available(*, unavailable)
extension UVHandle: Sendable {}
