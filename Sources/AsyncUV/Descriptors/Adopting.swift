internal import UVCore

// Sockets that others have opened. A descriptor moves once: until it has been found to fit it is its object's, and stays so if it does not fit; from then on it is the stream's or
// listener's, and the object has none.

extension OwnedDescriptor {
    /// The loop to adopt it, if it is what is wanted there.
    fileprivate func check(
        for type: String, _ family: SocketFacts.Family, isListening: Bool, on given: EventLoop?
    ) throws -> EventLoop {
        let loop = try given ?? EventLoop.requireCurrent(type)
        if loop.isClosed { throw LoopError(.closed, "\(type)(adopting:)", on: "\(self)", "the loop is closed") }
        guard loop.isOwner else {
            throw LoopError.misuse("\(type)(adopting:)", on: "\(self)", "called on another thread; use loop.callSoonThreadsafe { … } or a LoopTask(on:)")
        }
        guard let number = fileNumber else { throw LoopError(.closed, "\(type)(adopting:)", on: "\(self)") }
        let facts: SocketFacts
        do {
            facts = try SocketFacts(number)
        } catch {
            throw LoopError(
                error, "\(type)(adopting:)", on: "\(self)", advice: error.name == "ENOTSOCK" ? "it is a file, a pipe or a device" : "")
        }
        if let problem = facts.problem(family, isListening: isListening) { throw LoopError.misuse("\(type)(adopting:)", on: "\(self)", problem) }
        do {
            try Descriptor.closeOnExec(number)
        } catch {
            throw LoopError(error, "\(type)(adopting:)", on: "\(self)")
        }
        return loop
    }

    fileprivate func move(_ type: String) throws -> Descriptor {
        guard let descriptor = take() else { throw LoopError(.closed, "\(type)(adopting:)", on: "\(self)") }
        return descriptor
    }
}

extension SocketFacts {
    /// Nil if it is a stream socket of that family and state.
    fileprivate func problem(_ wanted: Family, isListening: Bool) -> String? {
        switch kind {
        case .stream: break
        case .datagram: return "it is a socket for datagrams, not for streams"
        case .other: return "it is neither a socket for streams nor one for datagrams"
        }
        if family != wanted {
            switch family {
            case .ip: return "it is a TCP socket, not a Unix socket"
            case .unix: return "it is a Unix socket, not a TCP socket"
            case .other: return "it is neither a TCP nor a Unix socket"
            }
        }
        if self.isListening && !isListening { return "it listens: adopt it as a listener" }
        if isListening && !self.isListening { return isConnected ? "it is connected: adopt it as a stream" : "it does not listen: call listen(2) before" }
        if !isListening && !isConnected { return "it is not connected" }
        return nil
    }
}

extension TCPListener {
    /// Takes over a TCP socket that listens, on the caller's loop or the one named, whose thread must be the caller's.
    ///
    /// - Parameter descriptor: has none afterwards. One that does not fit stays as it is; one that the event loop cannot watch is closed.
    /// - Throws: `LoopError` `.misuse` if it is something else, with what it is; `.closed` if it was closed or given away; `.system`.
    public convenience init(adopting descriptor: OwnedDescriptor, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line) throws {
        let loop = try descriptor.check(for: "TCPListener", .ip, isListening: true, on: loop)
        let socket = try descriptor.move("TCPListener")
        do {
            let address = SocketAddress(try Sockets.localName(socket.number))
            // Connections inherit it.
            try Sockets.set(.noDelay(true), on: socket.number)
            let transport = try SystemListener(socket, .tcp, at: .ip(address), loop)
            self.init(ListenerCore(transport, on: loop, file: file, line: line), address)
        } catch {
            throw LoopError(error, "TCPListener(adopting:)", on: "\(descriptor)")
        }
    }
}

extension UnixListener {
    /// Takes over a Unix socket that listens. Its path stays when this listener closes: whoever has made it removes it.
    ///
    /// - Parameter acceptsDescriptors: of the streams that it accepts; see ``UnixStream/connect(to:acceptsDescriptors:on:file:line:)``.
    /// - Throws: as ``TCPListener/init(adopting:on:file:line:)``, which says what becomes of the descriptor, too.
    public convenience init(
        adopting descriptor: OwnedDescriptor, acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws {
        let loop = try descriptor.check(for: "UnixListener", .unix, isListening: true, on: loop)
        let socket = try descriptor.move("UnixListener")
        do {
            let address = UnixAddress(try Sockets.localUnixName(socket.number) ?? .unnamed)
            let transport = try SystemUnixListener(adopting: socket, at: address, acceptsDescriptors: acceptsDescriptors, loop)
            self.init(ListenerCore(transport, on: loop, file: file, line: line), address)
        } catch {
            throw LoopError(error, "UnixListener(adopting:)", on: "\(descriptor)")
        }
    }
}

extension TCPStream {
    /// Takes over a TCP socket that is connected, with TCP_NODELAY set.
    ///
    /// - Throws: as ``TCPListener/init(adopting:on:file:line:)``, which says what becomes of the descriptor, too.
    public convenience init(adopting descriptor: OwnedDescriptor, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line) throws {
        let loop = try descriptor.check(for: "TCPStream", .ip, isListening: false, on: loop)
        let socket = try descriptor.move("TCPStream")
        do {
            let peer = SocketAddress(try Sockets.peerName(socket.number))
            try Sockets.set(.noDelay(true), on: socket.number)
            self.init(try loop.makeTransport(.tcp, socket), peer: peer, loop: loop, file: file, line: line)
        } catch {
            throw LoopError(error, "TCPStream(adopting:)", on: "\(descriptor)")
        }
    }
}

extension UnixStream {
    /// Takes over a Unix socket that is connected.
    ///
    /// - Parameter acceptsDescriptors: see ``connect(to:acceptsDescriptors:on:file:line:)``.
    /// - Throws: as ``TCPListener/init(adopting:on:file:line:)``, which says what becomes of the descriptor, too.
    public convenience init(
        adopting descriptor: OwnedDescriptor, acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws {
        let loop = try descriptor.check(for: "UnixStream", .unix, isListening: false, on: loop)
        let name = "\(descriptor)"
        let socket = try descriptor.move("UnixStream")
        do {
            let peer = UnixAddress(try Sockets.peerUnixName(socket.number) ?? .unnamed)
            let transport = try loop.makeUnixTransport(socket, acceptsDescriptors: acceptsDescriptors)
            self.init(transport, peer: peer, as: peer.isUnnamed ? .label("the peer of \(name)") : .unix(peer), loop: loop, file: file, line: line)
        } catch {
            throw LoopError(error, "UnixStream(adopting:)", on: name)
        }
    }
}
