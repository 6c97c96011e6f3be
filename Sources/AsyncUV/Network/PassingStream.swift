internal import UVCore

/// A Unix stream that receives descriptors: libuv's own streams read without asking for them, and the kernel closes them then.
///
/// Held by its poll until that closes.
final class PassingStream: StreamTransport {
    /// So many times it reads in a row, before others have their turn.
    private static let maximumReads = 32

    private let loop: EventLoop
    /// Owns the socket. Nil once closed.
    private var poll: UVPoll?
    private var owner: (any StreamOwner)?
    let received = ReceivedDescriptors()
    private(set) var isReading = false
    private var writing: UVChunk?
    /// How much of it is with the system.
    private var written = 0
    private var watched: UVPoll.Events = []

    init(_ descriptor: consuming Descriptor, _ loop: EventLoop) throws(UVError) {
        self.loop = loop
        let poll = try UVPoll(loop: loop.openUV("uv_poll_init"), owning: descriptor) { [unowned self] in happened($0) }
        self.poll = poll
        poll.beforeClose = { self.willClose() }
    }

    func attach(_ owner: any StreamOwner) { self.owner = owner }

    private func closedError(_ call: String) -> UVError { UVError(code: UVError.cancelled, call: call) }

    // MARK: events

    private func update() throws(UVError) {
        guard let poll else { return }
        var wanted: UVPoll.Events = []
        if isReading { wanted.insert(.readable) }
        if writing != nil { wanted.insert(.writable) }
        if wanted == watched { return }
        watched = wanted
        if wanted.isEmpty { poll.stop() } else { try poll.start(wanted) }
    }

    private func happened(_ result: Result<UVPoll.Events, UVError>) {
        let events: UVPoll.Events
        switch result {
        case .success(let some): events = some
        case .failure:
            // libuv has stopped watching, because there is an error: the calls say which.
            watched = []
            events = [.readable, .writable]
        }
        if events.contains(.writable) && writing != nil { writeOn() }
        // A peer that has gone is told as neither.
        if isReading && events != .writable { readOn() }
        do {
            try update()
        } catch {
            endReading(error)
        }
    }

    // MARK: reading

    func startReading() throws(UVError) {
        if isReading || poll == nil { return }
        // They belong to bytes that are still unread, and whoever asks for more bytes does not take them.
        if received.isFull { throw UVError.tooManyDescriptors("recvmsg") }
        isReading = true
        try update()
    }

    func stopReading() {
        isReading = false
        // Watching less cannot fail.
        try? update()
    }

    private func readOn() {
        for _ in 0..<PassingStream.maximumReads {
            guard isReading, let owner, let poll else { return }
            if received.isFull {
                isReading = false
                owner.streamIsHeldUp()
                return
            }
            guard let chunk = owner.chunkToFill() else {
                if owner.streamHasNoRoom() { isReading = false }
                return
            }
            let room = chunk.room
            var descriptors: [OwnedDescriptor] = []
            do throws(UVError) {
                let arrival = try Sockets.receive(poll.descriptor, into: chunk) { descriptors.append(OwnedDescriptor($0)) }
                if arrival.count == 0 {
                    endReading(nil)
                    return
                }
                received.arrived(descriptors, hasLost: arrival.hasLostDescriptors, bytes: arrival.count)
                owner.streamDidRead(arrival.count)
                // With descriptors the kernel stops before the next ones.
                if arrival.count < room && descriptors.isEmpty { return }
            } catch {
                if error.name == "EAGAIN" {
                    owner.streamDidRead(0)
                } else {
                    endReading(error)
                }
                return
            }
        }
    }

    private func endReading(_ error: UVError?) {
        isReading = false
        owner?.streamReadingEnded(error)
    }

    // MARK: writing

    func tryWrite(_ bytes: Span<UInt8>) throws(UVError) -> Int {
        guard let poll else { throw closedError("sendmsg") }
        return try Sockets.send(poll.descriptor, bytes)
    }

    func write(_ chunk: UVChunk) throws(UVError) {
        precondition(writing == nil, "AsyncUV: two writes are queued on a stream")
        if poll == nil { throw closedError("sendmsg") }
        writing = chunk
        written = 0
        do {
            try update()
        } catch {
            writing = nil
            throw error
        }
    }

    private func writeOn() {
        guard let poll, let chunk = writing else { return }
        var failure: UVError?
        do throws(UVError) {
            written += try chunk.withBytes { bytes throws(UVError) in try Sockets.send(poll.descriptor, bytes.extracting(written..<bytes.count)) }
        } catch {
            failure = error
        }
        if failure == nil && written < chunk.count { return }
        writing = nil
        owner?.streamDidWrite(chunk, failure)
    }

    func shutdownWriting() throws(UVError) { try Sockets.shutdownWriting(descriptor) }

    // MARK: the rest

    func set(_ option: SocketOption) throws(UVError) { try Sockets.set(option, on: descriptor) }

    func localEndpoint() throws(UVError) -> Endpoint { .unix(UnixAddress(try Sockets.localUnixName(descriptor) ?? .unnamed)) }

    var descriptor: Int32 { poll?.descriptor ?? -1 }

    /// A Unix socket that closes with bytes unread tells its peer so by itself.
    func reset() { close(then: nil) }

    func close(then: (() -> Void)?) {
        guard let poll else {
            then?()
            return
        }
        poll.close(then: then)
    }

    private func willClose() {
        poll = nil
        isReading = false
        let owner = self.owner
        self.owner = nil
        if let chunk = writing.take() { loop.chunks.give(chunk) }
        received.removeAll()
        owner?.streamWillClose()
    }
}
