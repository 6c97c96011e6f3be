/// The error that tests throw.
struct Boom: Error, Equatable {
    var name = "boom"
}
