// One of the few files outside the fence that say `unsafe`: continuations of the standard library that do not check themselves.

/// Resumes a suspended native task. Used exactly once: the loop takes it out of the task before it resumes (`continuation.take()`).
///
/// Unchecked, because a checked continuation allocates at every wait.
@safe
struct Resumption: Sendable {
    // SAFETY: resumed exactly once, see above; never dropped, because a task that is parked is in the loop's table until it is done.
    private let continuation: UnsafeContinuation<Bool, Never>

    /// Suspends the calling native task until `resume` is called, on whichever thread.
    @inline(__always)
    static func suspend(_ body: (Resumption) -> Void) async -> Bool {
        unsafe await withUnsafeContinuation { unsafe body(Resumption(continuation: $0)) }
    }

    /// The same for a task that runs on a loop's thread and is resumed there.
    @inline(__always)
    static func suspendHere(_ body: (Resumption) -> Void) async {
        // The public function begins with a hop to the executor that the caller is on already, which costs a tenth of the whole wait. Compilers to come may not have
        // this one, which is the same without it. Between threads the sanitizer does not see what orders its accesses.
        #if compiler(<6.4)
            _ = unsafe await _unsafeInheritExecutor_withUnsafeContinuation { unsafe body(Resumption(continuation: $0)) }
        #else
            _ = unsafe await withUnsafeContinuation { unsafe body(Resumption(continuation: $0)) }
        #endif
    }

    private init(continuation: UnsafeContinuation<Bool, Never>) {
        unsafe self.continuation = continuation
    }

    func resume(returning value: Bool = true) {
        unsafe continuation.resume(returning: value)
    }
}
