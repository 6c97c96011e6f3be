internal import UVCore

// Reading: libuv reads into a buffer of the loop's pool as soon as somebody has asked for bytes, and goes on as long as there is room. A task that waits
// is only woken; it takes the bytes itself, after it has looked at its cancellation.

extension StreamCore {
    var available: Int { uv?.input?.count ?? 0 }

    /// For a read that may find its bytes there already.
    func requireReader(_ operation: String) throws(LoopError) {
        if phase != .open { throw closedError(operation) }
        if let reader {
            throw LoopError(.busy, operation, on: "\(peer)", "task \(reader.name) is reading: one task at a time reads a stream")
        }
    }

    /// Waits until there are `count` bytes, or no more will come.
    func waitForInput(_ count: Int, _ operation: String, by task: AnyLoopTask) async throws {
        while true {
            if phase != .open { throw closedError(operation) }
            if available >= count || inputEnded { return }
            makeRoom(for: count)
            do {
                try uv?.startReading()
            } catch {
                throw LoopError(error, operation, on: "\(peer)")
            }
            reader = task
            wanted = count
            loop.outstanding += 1
            await task.park(.leave)
            loop.outstanding -= 1
            reader = nil
            try task.throwIfInterrupted()
        }
    }

    /// In what is there already, as far as the chunk is large enough for the whole; a larger read lets it grow as it fills.
    private func makeRoom(for count: Int) {
        guard let input = uv?.input else { return }
        let missing = count - input.count
        if input.room == 0 || input.count + input.room < min(count, input.capacity) { input.compact() }
        if input.room == 0 { input.makeRoom(for: min(missing, input.capacity)) }
    }

    func inputArrived() {
        guard let reader else { return }
        if available >= wanted {
            reader.wake()
        } else {
            makeRoom(for: wanted)
        }
    }

    func inputEnded(_ error: UVError?) {
        inputEnded = true
        readError = error.map { LoopError($0, "read", on: "\(peer)") }
        reader?.wake()
    }

    /// Nil at the end of the stream.
    func takeInput(atMost limit: Int) throws -> [UInt8]? {
        guard let uv, uv.input != nil else {
            if let readError { throw readError }
            return nil
        }
        return uv.takeInput(limit)
    }

    func takeInput(exactly count: Int) throws -> [UInt8] {
        let available = available
        guard let uv, available >= count else {
            if let readError { throw readError }
            throw LoopError(
                .unexpectedEnd, "read(exactly: \(count))", on: "\(peer)", "the stream ended after \(available) of \(count) bytes; they can still be read")
        }
        return uv.takeInput(count)
    }
}
