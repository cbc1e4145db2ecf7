"""What the project is made of that others wrote: pins, licences, a bill of materials, an audit."""
