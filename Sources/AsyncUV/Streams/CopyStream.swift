extension ByteStream {
    /// Reads until this stream ends, and writes all of it to another one, as fast as that takes it. Neither is closed.
    ///
    /// - Returns: how many bytes that were.
    /// - Cancellation: *partial*: what was written stays written; up to 64 KiB that were read and not written yet are lost.
    /// - Throws: as ``read(atMost:)`` and ``write(_:)-([UInt8])``.
    @discardableResult
    public func copy(to other: some ByteStream) async throws -> Int {
        guard loop.callingTask != nil, other.loop === loop else {
            var count = 0
            while let bytes = try await read() {
                try await other.write(bytes)
                count += bytes.count
            }
            return count
        }
        var count = 0
        while true {
            // What fits is never an array of its own.
            guard let used = try await withBytes({ bytes in try other.tryWrite(bytes) ? bytes.count : 0 }) else { return count }
            count += used
            if used == 0, let bytes = try await read() {
                try await other.write(bytes)
                count += bytes.count
            }
        }
    }
}
