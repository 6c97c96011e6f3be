// One of the few files outside the fence that say `unsafe`: continuations of the standard library that do not check themselves.

/// Resumes a suspended native task. Used exactly once: the loop takes it out of the task before it resumes (`continuation.take()`).
///
/// Unchecked, because a checked continuation allocates at every wait.
@safe
struct Resumption: Sendable {
    // SAFETY: resumed exactly once, see above; never dropped, because a task that is parked is in the loop's table until it is done.
    private let continuation: UnsafeContinuation<Bool, Never>

    /// Suspends the calling native task until `resume` is called.
    @inline(__always)
    @discardableResult
    static func suspend(_ body: (Resumption) -> Void) async -> Bool {
        unsafe await withUnsafeContinuation { unsafe body(Resumption(continuation: $0)) }
    }

    private init(continuation: UnsafeContinuation<Bool, Never>) {
        unsafe self.continuation = continuation
    }

    func resume(returning value: Bool = true) {
        unsafe continuation.resume(returning: value)
    }
}
