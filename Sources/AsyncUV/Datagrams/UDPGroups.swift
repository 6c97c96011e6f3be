internal import UVCore

// What can be set on a socket after it was made: the groups that it listens to, and how it sends. All of it on the loop's thread.

extension UDPSocket {
    // MARK: multicast groups

    /// Receives what is sent to a group, through one of the machine's interfaces; to several by several calls. The socket is bound to the group's port, at `0.0.0.0` or `::`,
    /// or at the group's own address, which leaves out what is sent to the port otherwise. Closing the socket leaves.
    ///
    /// - Parameters:
    ///   - group: an address in digits: 224.0.0.0 to 239.255.255.255, or one that begins with ff.
    ///   - interface: its name, such as `eth0`; nil is the one that the system's routes say.
    ///   - source: only what this address sends; several by several calls.
    /// - Throws: `LoopError` `.invalidAddress` for what is no group, or not of the socket's kind; `.system`, with ENODEV if there is no such interface, or no route; `.closed`;
    ///   `.misuse` on another thread.
    public func joinGroup(_ group: String, interface: String? = nil, source: String? = nil) throws {
        try setMembership(true, "joinGroup", group, interface, source)
    }

    /// Undoes a ``joinGroup(_:interface:source:)`` with the same arguments.
    ///
    /// - Throws: as that; `.system`, with EADDRNOTAVAIL if there was none.
    public func leaveGroup(_ group: String, interface: String? = nil, source: String? = nil) throws {
        try setMembership(false, "leaveGroup", group, interface, source)
    }

    private func setMembership(_ isMember: Bool, _ operation: String, _ text: String, _ interface: String?, _ source: String?) throws {
        let transport = try open(operation)
        let group = try addressOfSocketsKind(text, operation)
        if !group.isMulticast {
            throw LoopError(.invalidAddress, operation, on: text, "not a group: those are 224.0.0.0 to 239.255.255.255, and IPv6 addresses that begin with ff")
        }
        let sender = try source.map { try addressOfSocketsKind($0, operation) }
        var number = UInt32(clamping: group.zone)
        if let interface { number = try interfaceNumber(interface, operation) }
        do {
            try transport.setMembership(isMember, of: group, from: sender, interface: number)
        } catch {
            let advice: String
            switch error.name {
            case "ENODEV": advice = "no route says through which interface: name it"
            case "EADDRINUSE": advice = "the socket has joined that group already"
            case "EADDRNOTAVAIL": advice = isMember ? "" : "the socket has not joined that group with these arguments"
            case "ENOBUFS": advice = "raise net.ipv4.igmp_max_memberships, or net.ipv4.igmp_max_msf, or join fewer groups on one socket"
            default: advice = ""
            }
            throw UDPSocket.systemError(error, operation, on: text + (interface.map { " on \($0)" } ?? ""), advice)
        }
    }

    private func addressOfSocketsKind(_ text: String, _ operation: String) throws -> SocketAddress {
        let address = try SocketAddress(host: text, port: 0)
        if address.isIPv6 != self.address.isIPv6 {
            throw LoopError(.invalidAddress, operation, on: text, "the socket at \(self.address) has groups of \(self.address.isIPv6 ? "IPv6" : "IPv4") only")
        }
        return address
    }

    private func interfaceNumber(_ name: String, _ operation: String) throws -> UInt32 {
        guard let number = Sockets.interfaceNumber(name) else {
            throw LoopError(.system, operation, on: name, "no such interface (ENODEV)", systemCode: -UVError.noSuchDevice)
        }
        return number
    }

    // MARK: sending to groups

    /// How many routers what is sent to a group may pass, 0 to 255: 0 stays in this machine, 1, the system's own value, in its network.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` for a number out of range, or on another thread; `.system`.
    public func setMulticastTimeToLive(_ hops: Int) throws { try set(.multicastHops, hops, 0...255, "setMulticastTimeToLive") }

    /// Whether what this socket sends to a group is received on this machine too. True, unless it is set. (The receiver's is what counts on other systems than Linux.)
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` on another thread; `.system`.
    public func setMulticastLoopback(_ on: Bool) throws { try set(.multicastLoop, on ? 1 : 0, 0...1, "setMulticastLoopback") }

    /// The interface that groups are sent to through, by its name; nil is what the system's routes say.
    ///
    /// - Throws: `LoopError` `.system`, with ENODEV if there is no such interface; `.closed`; `.misuse` on another thread.
    public func setMulticastInterface(_ name: String?) throws {
        _ = try open("setMulticastInterface")
        let number = try name.map { try interfaceNumber($0, "setMulticastInterface") } ?? 0
        try set(.multicastInterface, Int(number), 0...Int(Int32.max), "setMulticastInterface")
    }

    // MARK: sending

    /// How many routers a datagram to a single machine may pass, 1 to 255.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` for a number out of range, or on another thread; `.system`.
    public func setTimeToLive(_ hops: Int) throws { try set(.hops, hops, 1...255, "setTimeToLive") }

    /// Whether it may send to broadcast addresses.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` on another thread; `.system`.
    public func setAllowsBroadcast(_ on: Bool) throws { try set(.broadcast, on ? 1 : 0, 0...1, "setAllowsBroadcast") }

    // MARK: the kernel's buffers

    /// How many bytes the kernel keeps until they are received; see ``UDPOptions/receiveBufferSize``. The system may have given less than was asked for.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` on another thread; `.system`.
    public func receiveBufferSize() throws -> Int { try value(of: .receiveBuffer, "receiveBufferSize") }

    /// Sets ``receiveBufferSize()``: 1 byte to 2 GiB; the system takes no more than `net.core.rmem_max`, and has a minimum of its own.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` for a number out of range, or on another thread; `.system`.
    public func setReceiveBufferSize(_ bytes: Int) throws { try set(.receiveBuffer, bytes, 1...Int(Int32.max), "setReceiveBufferSize") }

    /// How many bytes the kernel keeps until they are on their way.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` on another thread; `.system`.
    public func sendBufferSize() throws -> Int { try value(of: .sendBuffer, "sendBufferSize") }

    /// Sets ``sendBufferSize()``: 1 byte to 2 GiB; the system takes no more than `net.core.wmem_max`, and has a minimum of its own.
    ///
    /// - Throws: `LoopError` `.closed`; `.misuse` for a number out of range, or on another thread; `.system`.
    public func setSendBufferSize(_ bytes: Int) throws { try set(.sendBuffer, bytes, 1...Int(Int32.max), "setSendBufferSize") }

    private func set(_ option: DatagramOption, _ value: Int, _ range: ClosedRange<Int>, _ operation: String) throws {
        let transport = try open(operation)
        guard range.contains(value), let number = Int32(exactly: value) else {
            throw LoopError.misuse("\(operation)(\(value))", on: "\(address)", "it is \(range.lowerBound) to \(range.upperBound)")
        }
        do {
            try transport.set(option, number)
        } catch {
            throw UDPSocket.systemError(error, operation, on: "\(address)")
        }
    }

    private func value(of option: DatagramOption, _ operation: String) throws -> Int {
        let transport = try open(operation)
        do {
            return Int(try transport.value(of: option))
        } catch {
            throw UDPSocket.systemError(error, operation, on: "\(address)")
        }
    }
}
