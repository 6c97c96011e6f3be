import AsyncUV

/// Who is in, and what each of them is told. Nothing here waits: who does not keep up with what is said is put out.
struct Room {
    private struct Member {
        var name: String
        let stream: TCPStream
    }

    private var members: [ObjectIdentifier: Member] = [:]
    private var arrivals = 0

    mutating func join(_ stream: TCPStream) {
        arrivals += 1
        let member = Member(name: "guest-\(arrivals)", stream: stream)
        tellAll("* \(member.name) is here")
        members[ObjectIdentifier(stream)] = member
        tell(member, "* welcome, \(member.name); \(members.count) in the room. /name NAME, /who, /quit")
    }

    mutating func leave(_ stream: TCPStream) {
        guard let member = members.removeValue(forKey: ObjectIdentifier(stream)) else { return }
        tellAll("* \(member.name) has left")
    }

    /// False: the member wants to go.
    mutating func hear(_ line: String, from stream: TCPStream) -> Bool {
        guard let member = members[ObjectIdentifier(stream)] else { return false }
        let line = Room.printable(line)
        let words = line.split(separator: " ", maxSplits: 1)
        switch words.first {
        case "/quit": return false
        case "/who": tell(member, "* " + members.values.map(\.name).sorted().joined(separator: ", "))
        case "/name": rename(member, to: words.count > 1 ? String(words[1]) : "")
        case nil: break
        default: tellAll("\(member.name): \(line)", except: stream)
        }
        return true
    }

    private mutating func rename(_ member: Member, to name: String) {
        if name.isEmpty || name.count > 20 || name.contains(" ") {
            tell(member, "* a name has 1 to 20 letters, and no space")
        } else if members.values.contains(where: { $0.name == name }) {
            tell(member, "* there is a \(name) already")
        } else {
            members[ObjectIdentifier(member.stream)]?.name = name
            tellAll("* \(member.name) is \(name) now")
        }
    }

    private func tellAll(_ line: String, except speaker: TCPStream? = nil) {
        for member in members.values where member.stream !== speaker { tell(member, line) }
    }

    /// All of the line, or none: a member whose buffer is full is put out. Its own task notices, and leaves.
    private func tell(_ member: Member, _ line: String) {
        let isTold = try? member.stream.tryWrite(Array("\(line)\n".utf8).span)
        if isTold != true { member.stream.abort() }
    }

    /// What one member writes must not move another one's cursor.
    private static func printable(_ line: String) -> String {
        String(String.UnicodeScalarView(line.unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }
}
