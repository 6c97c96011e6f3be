internal import UVCore

/// Passing descriptors to the peer, and taking those that it passes: unix(7), SCM_RIGHTS.
extension UnixStream {
    /// So many descriptors go with one call at most.
    public static let maximumDescriptors = Sockets.maximumPassedDescriptors

    /// What has arrived: bytes, and what came with them.
    public struct Arrival: Sendable {
        public let bytes: [UInt8]
        /// In the order in which they were sent; here at the latest when the byte is that they were sent with, and, as recvmsg(2) has it, possibly with bytes before that.
        public let descriptors: [OwnedDescriptor]
        /// Descriptors were sent with these bytes that this process had no room for: the system has closed them. Raise the limit (ulimit -n).
        public let hasLostDescriptors: Bool
    }

    /// Sends bytes, and with the first of them descriptors, in their place among what is written: the peer, which has to ask for descriptors, gets numbers of its own for the same
    /// open files. Here they stay open, and stay their objects'.
    ///
    /// A descriptor on its way counts as open for its file, and for the user's limit (RLIMIT_NOFILE), until it is received.
    /// - Parameters:
    ///   - bytes: at least one.
    ///   - descriptors: up to ``maximumDescriptors``; they must stay open until the call returns.
    /// - Cancellation: up to as many bytes as the high-water mark: lossless, a call that throws has sent nothing. More: *partial*, as in ``ByteStream/write(_:)-([UInt8])``.
    /// - Throws: as ``ByteStream/write(_:)-([UInt8])``; `LoopError` `.misuse` without bytes, with too many descriptors, or with one that was closed or given away; `.system` if the system
    ///   does not pass them (ETOOMANYREFS: too many are on their way).
    public func send(_ bytes: [UInt8], descriptors: [OwnedDescriptor]) async throws {
        guard let task = loop.callingTask else {
            return try await bridged("UnixStream.send", on: loop) { try await self.send(bytes, descriptors: descriptors) }
        }
        if bytes.isEmpty || descriptors.count > UnixStream.maximumDescriptors {
            throw LoopError.misuse(
                "send", on: "\(core.peer)", "descriptors go with at least one byte, and up to \(UnixStream.maximumDescriptors) at a time")
        }
        if descriptors.isEmpty { return try await write(bytes) }
        var offset = 0
        try await core.writeDirectly("send", by: task) { [core] transport in
            if offset == 0 {
                let numbers = try descriptors.map { descriptor in
                    guard let number = descriptor.fileNumber else {
                        throw LoopError.misuse("send", on: "\(core.peer)", "a descriptor was closed or given away before it was sent")
                    }
                    return number
                }
                // Room for the rest first: when the descriptors have gone, a cancel must find everything admitted.
                let isWhole = bytes.count <= core.highWater
                if isWhole && !core.mayQueue(bytes.count, waits: true) { return .goOn }
                defer { core.charge?.settle(core.pending) }
                do throws(UVError) {
                    offset = try Sockets.send(transport.descriptor, bytes.span, with: numbers)
                } catch {
                    throw core.writeFailed(error, "send")
                }
                withExtendedLifetime(descriptors) {}
                core.lastTry = core.loop.turn
                if offset == 0 { return .blocked }
                if isWhole {
                    if offset < bytes.count { try core.admit(bytes.span.extracting(offset..<bytes.count)) }
                    return .done
                }
            }
            try core.admitPart(of: bytes, from: &offset)
            return offset == bytes.count ? .done : .goOn
        }
    }

    /// Waits until there are bytes, and takes up to so many, with the descriptors that came with them; later bytes that have descriptors of their own are left to the
    /// next call. Nil at the end of the stream.
    ///
    /// Descriptors are closed on exec. Those that came with bytes which other calls have read to the last are closed: nobody has asked for them. What has not been received when the
    /// stream is closed is closed, too.
    ///
    /// At most ``maximumDescriptors`` wait here, not counting those of the last read: what comes after them stays in the system. A read that waits for more bytes than came with
    /// so many fails with ETOOMANYREFS.
    /// - Cancellation: lossless: bytes and descriptors stay for the next call.
    /// - Throws: as ``ByteStream/read(atMost:)``; `LoopError` `.misuse` on a stream that was made without `acceptsDescriptors`.
    public func receive(atMost limit: Int = 65_536) async throws -> Arrival? {
        guard let task = loop.callingTask else {
            return try await bridged("UnixStream.receive", on: loop) { try await self.receive(atMost: limit) }
        }
        if limit <= 0 { throw LoopError.misuse("receive(atMost: \(limit))", on: "\(core.peer)", "at least one byte must be asked for") }
        guard let received = core.received else {
            throw LoopError.misuse("receive", on: "\(core.peer)", "the stream takes no descriptors: make it with acceptsDescriptors: true")
        }
        try core.requireReader()
        if core.available == 0 { try await core.waitForInput(1, by: task) }
        let next = received.next(unread: core.available)
        guard let bytes = try core.takeInput(atMost: max(1, min(limit, next.bytes))) else { return nil }
        return Arrival(bytes: bytes, descriptors: next.group?.descriptors ?? [], hasLostDescriptors: next.group?.hasLost ?? false)
    }
}

extension LoopStream {
    /// Another descriptor for this stream's connection: to pass it to another process, and ``close()`` this one (not ``abort()``, which breaks the connection off), or to set what the system offers and this package does not. On the
    /// loop's thread.
    ///
    /// Two that read from one connection, or write to it, mix their bytes.
    /// - Throws: `LoopError` `.closed`, `.system`, `.misuse` on another thread.
    public final func duplicateDescriptor() throws -> OwnedDescriptor {
        let transport = try open("duplicateDescriptor")
        do {
            return OwnedDescriptor(try Descriptor.duplicate(of: transport.descriptor))
        } catch {
            throw LoopError(error, "duplicateDescriptor", on: "\(core.peer)", advice: error.name == "EMFILE" ? "raise the limit (ulimit -n)" : "")
        }
    }
}
