internal import UVCore

/// A socket of the kernel's, and a poll that watches it. Of a datagram nothing is kept here.
final class SystemDatagrams: DatagramTransport {
    private let loop: EventLoop
    private let poll: UVPoll
    private let watcher: Watcher
    let localAddress: SocketAddress
    let peerAddress: SocketAddress?
    /// An IPv6 socket that IPv4 peers reach too: their addresses are written in IPv6 on its side, and nowhere else.
    private let isDualStack: Bool
    private let tellsDestination: Bool

    init(at local: SocketAddress?, to peer: SocketAddress?, _ setup: DatagramSetup, on loop: EventLoop) throws(UVError) {
        let uv = try loop.openUV("socket")
        let descriptor = try Sockets.datagrams(at: local?.name, to: peer?.name, setup)
        self.loop = loop
        localAddress = SocketAddress(try Sockets.localName(descriptor.number))
        // An unspecified peer is this machine: the system says under which address.
        peerAddress = peer == nil ? nil : SocketAddress(try Sockets.peerName(descriptor.number))
        isDualStack = localAddress.isIPv6 && !setup.isIPv6Only
        tellsDestination = setup.tellsDestination
        let watcher = Watcher()
        self.watcher = watcher
        poll = try UVPoll(loop: uv, owning: descriptor) { watcher.happened($0) }
    }

    deinit { poll.close() }

    /// Apart from the transport, which the poll must not hold.
    private final class Watcher {
        var onReady: ((UVPoll.Events?) -> Void)?
        var events: UVPoll.Events = []

        func happened(_ result: Result<UVPoll.Events, UVError>) {
            switch result {
            case .success(let ready): onReady?(ready)
            case .failure:
                // libuv stops a poll whose descriptor has an error, whatever it is.
                events = []
                onReady?(nil)
            }
        }
    }

    var isClosed: Bool { poll.isClosing }
    var descriptor: Int32 { poll.descriptor }

    func close() {
        poll.close()
        watcher.onReady = nil
    }

    func watch(_ events: UVPoll.Events, _ onReady: @escaping (UVPoll.Events?) -> Void) throws(UVError) {
        watcher.onReady = onReady
        if events == watcher.events { return }
        watcher.events = []
        if events.isEmpty { poll.stop() } else { try poll.start(events) }
        watcher.events = events
    }

    // MARK: receiving

    func receive(atMost limit: Int, keeping size: Int, _ body: (Datagram) -> Void) throws(UVError) -> Int {
        let memory = loop.datagramMemory
        let count = try memory.receive(limit, size: size, withControl: tellsDestination, descriptor)
        for slot in 0..<count {
            // The system names no other sender than an IP address.
            let sender = memory.sender(slot).map(address) ?? peerAddress ?? localAddress
            // One that was on its way to the socket while that was being connected may still come after it.
            if let peerAddress, !sender.isSameEndpoint(as: peerAddress) { continue }
            var datagram = Datagram(bytes: memory.copy(slot), sender: sender, size: memory.fullSize(slot))
            if tellsDestination, let (name, interface) = memory.destination(slot) {
                var destination = name
                destination.port = localAddress.name.port
                datagram.destination = address(destination)
                datagram.interface = Int(interface)
            }
            body(datagram)
        }
        return count
    }

    func takeReturnedError() throws(UVError) -> ReturnedError? {
        guard var returned = try Sockets.takeReturnedError(descriptor) else { return nil }
        if isDualStack {
            returned.destination = returned.destination?.unmapped
            returned.reporter = returned.reporter?.unmapped
        }
        return returned
    }

    func dropped() throws(UVError) -> UInt32 { try Sockets.droppedDatagrams(descriptor) }

    // MARK: sending

    func send(_ bytes: Span<UInt8>, to address: SocketAddress?) throws(UVError) {
        try Sockets.send(bytes, to: address.map(name), descriptor)
    }

    func send(_ datagrams: ArraySlice<OutgoingDatagram>) throws(UVError) -> Int {
        guard let first = datagrams.first else { return 0 }
        // Alone it is the system that says what is wrong with it; one that does not fit into memory ends what goes before it.
        if datagrams.count == 1 || first.bytes.count > DatagramMemory.slotSize {
            try send(first.bytes.span, to: first.address)
            return 1
        }
        let memory = loop.datagramMemory
        var count = 0
        for datagram in datagrams.prefix(DatagramMemory.slots) {
            if datagram.bytes.count > DatagramMemory.slotSize { break }
            memory.fill(count, datagram.bytes.span, to: datagram.address.map(name))
            count += 1
        }
        return try memory.send(count, descriptor)
    }

    private func address(_ name: SocketName) -> SocketAddress { SocketAddress(isDualStack ? name.unmapped : name) }

    private func name(_ address: SocketAddress) -> SocketName { isDualStack ? address.name.mappedToIPv6 : address.name }

    // MARK: options

    func set(_ option: DatagramOption, _ value: Int32) throws(UVError) {
        try Sockets.set(option, value, isIPv6: localAddress.isIPv6, descriptor)
        // What goes to IPv4 peers has an option of its own.
        if isDualStack, case .hops = option { try Sockets.set(option, value, isIPv6: false, descriptor) }
    }

    func value(of option: DatagramOption) throws(UVError) -> Int32 {
        try Sockets.value(option, isIPv6: localAddress.isIPv6, descriptor)
    }

    func setMembership(_ isMember: Bool, of group: SocketAddress, from source: SocketAddress?, interface: UInt32) throws(UVError) {
        try Sockets.setMembership(isMember, of: group.name, from: source?.name, interface: interface, descriptor)
    }
}

extension EventLoop {
    /// Made when the first datagram is received or sent.
    var datagramMemory: DatagramMemory {
        if let memory = madeDatagramMemory { return memory }
        let memory = DatagramMemory()
        madeDatagramMemory = memory
        return memory
    }
}
