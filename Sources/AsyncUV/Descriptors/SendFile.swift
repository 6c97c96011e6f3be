internal import UVCore

extension LoopStream {
    /// Sends a part of a file, in its place among what is written: by sendfile(2), without a copy through this process, where the system can do that.
    ///
    /// Other writes wait until it is done. Reading from the file itself blocks, with or without sendfile: keep it on a local disk. Afterwards, also after an error or a
    /// cancellation, the file's position stands behind the last byte that was sent.
    /// - Parameters:
    ///   - file: a regular file, open for reading. It stays the caller's, who keeps it open.
    ///   - offset: where to begin, in bytes from the start of the file.
    ///   - count: at most so many bytes; nil for all that there are.
    ///   - fallsBack: whether bytes are read and written where the system has no sendfile for these two. Otherwise that is ENOTSUP.
    /// - Returns: how many bytes were sent: fewer than `count` if the file is shorter.
    /// - Cancellation: *partial*: the file's position says how much was sent.
    /// - Throws: as ``ByteStream/write(_:)-([UInt8])``, with how much was sent; `LoopError` `.misuse` if `file` is no regular file, or a number is negative; `.closed` if it was closed; `.system`.
    @discardableResult
    public final func sendFile(_ file: OwnedDescriptor, offset: Int64 = 0, count: Int? = nil, fallsBack: Bool = true) async throws -> Int {
        guard let task = loop.callingTask else {
            return try await bridged("sendFile", on: loop) { try await self.sendFile(file, offset: offset, count: count, fallsBack: fallsBack) }
        }
        guard let number = file.fileNumber else { throw LoopError(.closed, "sendFile", on: "\(core.peer)", "the file was closed or given away") }
        guard offset >= 0, count ?? 0 >= 0 else { throw LoopError.misuse("sendFile", on: "\(core.peer)", "offset and count are not negative") }
        do {
            if !(try Descriptor.identity(of: number).isRegularFile) {
                throw LoopError.misuse("sendFile", on: "\(core.peer)", "descriptor \(number) is no regular file")
            }
        } catch let error as UVError {
            throw LoopError(error, "sendFile", on: "\(core.peer)")
        }
        var sending = FileSending(file: number, offset: offset, left: count ?? Int.max, fallsBack: fallsBack, isNative: true)
        defer {
            withExtendedLifetime(file) {}
            // A regular file that is open has a position.
            try? Files.setPosition(number, offset + Int64(sending.sent))
        }
        do {
            if sending.left > 0 { try await core.writeDirectly("sendFile", by: task) { try sending.step($0, self.core) } }
        } catch var error as LoopError {
            error.detail += "; \(sending.sent) bytes of the file were sent"
            throw error
        }
        return sending.sent
    }

    /// Sends a part of a file that is opened for it. See ``sendFile(_:offset:count:fallsBack:)``.
    @discardableResult
    public final func sendFile(path: String, offset: Int64 = 0, count: Int? = nil, fallsBack: Bool = true) async throws -> Int {
        let file: OwnedDescriptor
        do {
            file = OwnedDescriptor(try Files.open(path))
        } catch {
            throw LoopError(error, "sendFile", on: path)
        }
        defer { file.close() }
        return try await sendFile(file, offset: offset, count: count, fallsBack: fallsBack)
    }
}

/// How far it has come.
private struct FileSending {
    /// With one call, so that the loop's other tasks are not kept waiting.
    private static let largestStep = 262_144

    let file: Int32
    let offset: Int64
    var left: Int
    let fallsBack: Bool
    var isNative: Bool
    var sent = 0

    private var position: Int64 { offset + Int64(sent) }

    private mutating func advance(by count: Int) {
        sent += count
        left -= count
    }

    mutating func step(_ transport: any StreamTransport, _ core: StreamCore) throws -> DirectStep {
        if isNative && transport.descriptor >= 0 {
            core.lastTry = core.loop.turn
            let outcome: Files.Sent
            do throws(UVError) {
                outcome = try Files.send(file, at: position, count: min(left, FileSending.largestStep), to: transport.descriptor)
            } catch {
                throw core.writeFailed(error, "sendFile")
            }
            switch outcome {
            case .bytes(let count):
                advance(by: count)
                return left == 0 ? .done : .goOn
            case .wouldBlock: return .blocked
            case .end: return .done
            case .notSupported: isNative = false
            }
        }
        if !fallsBack { throw LoopError(UVError.notSupported("sendfile"), "sendFile", on: "\(core.peer)") }
        return try readAndWrite(core)
    }

    /// Nothing is queued before it.
    private mutating func readAndWrite(_ core: StreamCore) throws -> DirectStep {
        let wanted = min(left, FileSending.largestStep, max(1, core.highWater))
        let bytes: [UInt8]
        do throws(UVError) {
            bytes = try Files.read(file, at: position, count: wanted)
        } catch {
            throw LoopError(error, "sendFile", on: "\(core.peer)")
        }
        var admitted = 0
        try core.admitPart(of: bytes, from: &admitted)
        advance(by: admitted)
        // Where not all of it was admitted, the rest is read once more when there is room.
        if left == 0 || bytes.count < wanted && admitted == bytes.count { return .done }
        return .goOn
    }
}
