internal import UVCore

/// A task that waits for a descriptor that is not the loop's own.
final class DescriptorWait {
    struct Key: Hashable {
        let number: Int32
        let isWriting: Bool
    }

    let task: AnyLoopTask
    let identity: FileIdentity
    var isReady = false
    /// The number belongs to another file now: whoever owned the descriptor has closed it.
    var isStale = false

    init(_ task: AnyLoopTask, _ identity: FileIdentity) {
        self.task = task
        self.identity = identity
    }
}

extension EventLoop {
    /// Waits until a descriptor can be read without waiting, has come to its end, or has an error: the read says which. For what this package has no type for.
    ///
    /// One task may wait for reading and another one for writing. The descriptor stays its owner's and keeps its mode; while somebody waits, its file is open by another number, too.
    /// Who closes it meanwhile should cancel the wait: the system tells nobody.
    /// - Cancellation: loses nothing; the descriptor is not watched any more when the error is thrown.
    /// - Throws: `LoopError` `.busy` if another task waits for the same; `.closed` if the descriptor was closed, and its number belongs to another file by the time that is waited for; `.system`: EBADF if
    ///   there is no such descriptor, EPERM for a file or folder, which is always ready.
    public func waitUntilReadable(_ descriptor: Int32) async throws {
        try await wait(for: .readable, DescriptorWait.Key(number: descriptor, isWriting: false), "waitUntilReadable")
    }

    /// Waits until a descriptor can be written to without waiting, or has an error. See ``waitUntilReadable(_:)``.
    public func waitUntilWritable(_ descriptor: Int32) async throws {
        try await wait(for: .writable, DescriptorWait.Key(number: descriptor, isWriting: true), "waitUntilWritable")
    }

    private func wait(for events: UVPoll.Events, _ key: DescriptorWait.Key, _ operation: String) async throws {
        guard let task = callingTask else {
            return try await bridged(operation, on: self) { try await self.wait(for: events, key, operation) }
        }
        let subject = "descriptor \(key.number)"
        let wait: DescriptorWait
        let poll: UVPoll
        do throws(UVError) {
            wait = DescriptorWait(task, try Descriptor.identity(of: key.number))
            if let other = descriptorWaits[key] {
                if other.identity.isSameFile(as: wait.identity) { throw UVError.busy(operation) }
                other.isStale = true
                other.task.wake()
            }
            poll = try UVPoll(loop: openUV(operation), duplicating: key.number) { [unowned wait] _ in
                wait.isReady = true
                wait.task.wake()
            }
        } catch {
            throw descriptorError(error, operation, subject, key)
        }
        descriptorWaits[key] = wait
        defer {
            poll.close()
            if descriptorWaits[key] === wait { descriptorWaits[key] = nil }
        }
        do throws(UVError) {
            try poll.start(events)
        } catch {
            throw descriptorError(error, operation, subject, key)
        }
        while !wait.isReady {
            if wait.isStale { throw LoopError(.closed, operation, on: subject, "it was closed, and its number belongs to another file now") }
            outstanding += 1
            await task.park(.leave)
            outstanding -= 1
            poll.stop()
            try task.throwIfInterrupted()
        }
    }

    private func descriptorError(_ error: UVError, _ operation: String, _ subject: String, _ key: DescriptorWait.Key) -> LoopError {
        switch error.name {
        case "EBUSY":
            let other = descriptorWaits[key]?.task.name ?? ""
            return LoopError(.busy, operation, on: subject, "task \(other) waits for it: one task at a time waits for each direction")
        case "EPERM":
            return LoopError(error, operation, on: subject, advice: "files and folders cannot be waited for: they are always ready")
        case "EBADF": return LoopError(error, operation, on: subject, advice: "there is no such descriptor")
        case "EMFILE", "ENFILE": return LoopError(error, operation, on: subject, advice: "raise the limit of open descriptors (ulimit -n)")
        default: return LoopError(error, operation, on: subject)
        }
    }
}
