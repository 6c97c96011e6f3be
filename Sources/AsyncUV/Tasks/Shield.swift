extension LoopTask where Success == Never {
    /// Awaits `inner` so that a cancellation of the caller does not reach it.
    ///
    /// The caller itself is cancelled as ever, at once: `inner` goes on without it. Of something that is done this does not suspend.
    ///
    /// - Cancellation: throws in the next turn; `inner` runs on, and an error it then ends with goes to the loop's report handler, once.
    /// - Throws: what `inner` throws; ``CancelledError`` also if `inner` was cancelled by somebody else.
    public static func shield<Inner: Awaitable>(_ inner: Inner) async throws -> Inner.Value {
        if !inner.isDone {
            if let task = inner.loop.callingTask {
                let shield = Shield(inner)
                try await task.wait(for: shield)
                // A shield that was cancelled ends before what is behind it.
                try shield.throwStoredError()
            } else {
                return try await bridged("LoopTask.shield", on: inner.loop) { try await shield(inner) }
            }
        }
        return try inner.result()
    }
}

/// What the caller of `shield` waits for: it ends as the inner future does, and can be cancelled without it.
private final class Shield: AnyFuture, @unchecked Sendable {
    // Sendable as AnyFuture: touched on its loop's thread.
    private let inner: AnyFuture

    override var waitedFor: [AnyFuture] { isDone ? [] : [inner] }

    init(_ inner: AnyFuture) {
        self.inner = inner
        super.init(loop: inner.loop)
        let watch = inner.whenDone { [self] inner in follow(inner) }
        // When the shield ends first, it was cancelled: nobody listens to the inner future any more.
        whenDone { _ in
            if inner.removeDoneCallback(watch) { inner.reportErrorWhenDone() }
        }
    }

    private func follow(_ inner: AnyFuture) {
        if isDone {
            // The error, if it is one, has nobody to go to: it stays unfetched and is reported when the future goes.
            return
        }
        inner.reportsError = false
        switch inner.storedError {
        case let cancelled as CancelledError where inner.isCancelled: complete(cancelled: cancelled)
        case let error?:
            complete(failure: error)
            reportsError = false
        case nil: completeWithValue()
        }
    }
}

extension AnyFuture {
    /// The one who would have fetched the error has gone: it is reported when it comes, once however many have gone.
    fileprivate func reportErrorWhenDone() {
        if lostShield { return }
        lostShield = true
        whenDone { future in
            guard future.reportsError, let error = future.storedError else { return }
            future.reportsError = false
            future.loop.report(future.unfetchedReport(error))
        }
    }
}
