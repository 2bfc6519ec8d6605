package clients

// What tests compare with.
const (
	ErrorShare = errorShare
	MaxPlaced  = maxPlaced
)
