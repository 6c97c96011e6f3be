internal import UVCore

extension ByteStream {
    /// Waits until a separator has come, and takes what comes before it, and it. Nil at the end of the stream.
    ///
    /// - Parameters:
    ///   - separators: at least one, none of them empty; the one that ends first counts.
    ///   - limit: so many bytes may come before the separator. Memory never grows beyond that.
    /// - Cancellation: lossless: what has come stays for the next read.
    /// - Throws: as ``read(atMost:)``; `LoopError` `.unexpectedEnd` if the stream ends without a separator, `.limitExceeded`: then too what has come stays for
    ///   the next read. `.misuse` for no separator, or an empty one.
    public func read(untilAnyOf separators: [[UInt8]], limit: Int = EventLoop.defaultLineLimit) async throws -> [UInt8]? {
        guard loop.callingTask != nil else {
            return try await bridged("ByteStream.read(until:)", on: loop) { try await self.read(untilAnyOf: separators, limit: limit) }
        }
        guard let search = SeparatorSearch(separators) else {
            throw LoopError.misuse("read(until:)", on: "\(self)", "give at least one separator, and none that is empty")
        }
        return try await find(search, limit, "read(until:)", lastNeedsSeparator: true) { bytes, separator in
            Bytes.array(bytes.extracting(0..<separator.upperBound))
        }
    }

    /// Waits until the separator has come. See ``read(untilAnyOf:limit:)``.
    public func read(until separator: [UInt8], limit: Int = EventLoop.defaultLineLimit) async throws -> [UInt8]? {
        try await read(untilAnyOf: [separator], limit: limit)
    }

    /// Waits until there is a line, and takes it: what comes before a line feed, or before the end of the stream. Nil at the end of the stream.
    ///
    /// The line feed, and a carriage return before it, are taken and are not part of the line. Bytes that are not UTF-8 become U+FFFD; ``read(until:limit:)`` gives
    /// bytes as they are.
    /// - Parameter limit: so many bytes a line may have. Memory never grows beyond that.
    /// - Cancellation: lossless: what has come stays for the next read.
    /// - Throws: as ``read(atMost:)``; `LoopError` `.limitExceeded`: what has come stays for the next read.
    public func readLine(limit: Int = EventLoop.defaultLineLimit) async throws -> String? {
        guard loop.callingTask != nil else {
            return try await bridged("ByteStream.readLine", on: loop) { try await self.readLine(limit: limit) }
        }
        guard let search = SeparatorSearch([[0x0A]]) else { return nil }
        return try await find(search, limit, "readLine", lastNeedsSeparator: false) { bytes, feed in
            let hasReturn = feed.lowerBound > 0 && !feed.isEmpty && bytes[feed.lowerBound - 1] == 0x0D
            return Bytes.text(bytes.extracting(0..<(hasReturn ? feed.lowerBound - 1 : feed.lowerBound)))
        }
    }

    /// Waits until the stream ends, and takes all that is left of it: possibly nothing.
    ///
    /// - Parameter limit: so many bytes at most. Memory grows as they arrive.
    /// - Cancellation: lossless: what has come stays for the next read.
    /// - Throws: as ``read(atMost:)``; `LoopError` `.limitExceeded`: what has come stays for the next read.
    public func readToEnd(limit: Int) async throws -> [UInt8] {
        guard loop.callingTask != nil else {
            return try await bridged("ByteStream.readToEnd", on: loop) { try await self.readToEnd(limit: limit) }
        }
        let most = try checkLimit(limit, "readToEnd")
        var rest: [UInt8] = []
        var isOver = false
        _ = try await withBytes(atLeast: most + 1) { bytes in
            isOver = bytes.count > most
            if isOver { return 0 }
            rest = Bytes.array(bytes)
            return bytes.count
        }
        if isOver { throw overLimit(most, "readToEnd") }
        return rest
    }

    /// Asks for one more byte than there is, until the search finds something.
    ///
    /// - Parameter take: makes the result of the bytes and where the separator is in them; that is empty, and at the end, for the last piece.
    private func find<Result>(
        _ search: SeparatorSearch, _ limit: Int, _ operation: String, lastNeedsSeparator: Bool, _ take: (Span<UInt8>, Range<Int>) -> Result
    ) async throws -> Result? {
        let limit = try checkLimit(limit, operation)
        var search = search
        var minimum = 1
        while true {
            var result: Result?
            var seen = 0
            var isOver = false
            let used = try await withBytes(atLeast: minimum) { bytes in
                seen = bytes.count
                isOver = search.isOver(limit, seen)
                guard let separator = search.first(in: bytes) ?? (seen < minimum && !lastNeedsSeparator ? seen..<seen : nil) else { return 0 }
                isOver = separator.lowerBound > limit
                if isOver { return 0 }
                result = take(bytes, separator)
                return separator.upperBound
            }
            if used == nil { return nil }
            if let result { return result }
            if isOver { throw overLimit(limit, operation) }
            if seen < minimum {
                throw LoopError(.unexpectedEnd, operation, on: "\(self)", "the stream ended after \(seen) bytes without a separator; they can still be read")
            }
            minimum = seen + 1
        }
    }

    private func checkLimit(_ limit: Int, _ operation: String) throws(LoopError) -> Int {
        if limit < 0 { throw LoopError.misuse("\(operation) limit: \(limit)", on: "\(self)", "a limit is not negative") }
        // Room for a separator, and for asking for one more.
        return min(limit, Int.max / 4)
    }

    private func overLimit(_ limit: Int, _ operation: String) -> LoopError {
        LoopError(.limitExceeded, operation, on: "\(self)", "more than the limit of \(limit) bytes has come; it can still be read, piece by piece")
    }
}

extension EventLoop {
    /// As many bytes a line may have, unless it is said otherwise.
    public static let defaultLineLimit = 65_536
}
